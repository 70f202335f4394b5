#include "deepspeed/models/gguf_model.h"

#include <cstring>
#include <iterator>
#include <string_view>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/models/gguf_config.h"

namespace deepspeed::models {
namespace {

using nlohmann::json;

// Our names and GGUF's, of all families; encoders' begin with "encoder.".
constexpr WeightName kNames[] = {
    {"embedding.weight", "token_embd.weight"},
    {"embedding_norm.weight", "token_embd_norm.weight"},
    {"embedding_norm.bias", "token_embd_norm.bias"},
    {"positions.weight", "position_embd.weight"},
    {"layers.{}.norm1.weight", "blk.{}.attn_norm.weight"},
    {"layers.{}.norm1.bias", "blk.{}.attn_norm.bias"},
    {"layers.{}.attention.qkv.weight", "blk.{}.attn_qkv.weight"},
    {"layers.{}.attention.qkv.bias", "blk.{}.attn_qkv.bias"},
    {"layers.{}.attention.query.weight", "blk.{}.attn_q.weight"},
    {"layers.{}.attention.query.bias", "blk.{}.attn_q.bias"},
    {"layers.{}.attention.key.weight", "blk.{}.attn_k.weight"},
    {"layers.{}.attention.key.bias", "blk.{}.attn_k.bias"},
    {"layers.{}.attention.value.weight", "blk.{}.attn_v.weight"},
    {"layers.{}.attention.value.bias", "blk.{}.attn_v.bias"},
    {"layers.{}.attention.query_norm.weight", "blk.{}.attn_q_norm.weight"},
    {"layers.{}.attention.key_norm.weight", "blk.{}.attn_k_norm.weight"},
    {"layers.{}.attention.output.weight", "blk.{}.attn_output.weight"},
    {"layers.{}.attention.output.bias", "blk.{}.attn_output.bias"},
    {"layers.{}.attention_norm.weight", "blk.{}.post_attention_norm.weight"},
    {"layers.{}.norm2.weight", "blk.{}.ffn_norm.weight"},
    {"layers.{}.norm2.bias", "blk.{}.ffn_norm.bias"},
    {"layers.{}.mlp.gate.weight", "blk.{}.ffn_gate.weight"},
    {"layers.{}.mlp.gate.bias", "blk.{}.ffn_gate.bias"},
    {"layers.{}.mlp.up.weight", "blk.{}.ffn_up.weight"},
    {"layers.{}.mlp.up.bias", "blk.{}.ffn_up.bias"},
    {"layers.{}.mlp.down.weight", "blk.{}.ffn_down.weight"},
    {"layers.{}.mlp.down.bias", "blk.{}.ffn_down.bias"},
    {"layers.{}.mlp_norm.weight", "blk.{}.post_ffw_norm.weight"},
    {"layers.{}.moe.router.weight", "blk.{}.ffn_gate_inp.weight"},
    {"layers.{}.moe.experts.{}.gate.weight", "blk.{}.ffn_gate_exps.weight", RowOrder::kExpertOfAll},
    {"layers.{}.moe.experts.{}.up.weight", "blk.{}.ffn_up_exps.weight", RowOrder::kExpertOfAll},
    {"layers.{}.moe.experts.{}.down.weight", "blk.{}.ffn_down_exps.weight", RowOrder::kExpertOfAll},
    {"layers.{}.moe.shared.gate.weight", "blk.{}.ffn_gate_shexp.weight"},
    {"layers.{}.moe.shared.up.weight", "blk.{}.ffn_up_shexp.weight"},
    {"layers.{}.moe.shared.down.weight", "blk.{}.ffn_down_shexp.weight"},
    {"layers.{}.moe.shared_gate.weight", "blk.{}.ffn_gate_inp_shexp.weight"},
    {"norm.weight", "output_norm.weight"},
    {"norm.bias", "output_norm.bias"},
    {"head.weight", "output.weight"},
    {"head.bias", "output.bias"},
    {"encoder.embedding.weight", "token_embd.weight"},
    {"encoder.positions.weight", "position_embd.weight"},
    {"encoder.token_types.weight", "token_types.weight"},
    {"encoder.embedding_norm.weight", "token_embd_norm.weight"},
    {"encoder.embedding_norm.bias", "token_embd_norm.bias"},
    {"encoder.layers.{}.attention.qkv.weight", "blk.{}.attn_qkv.weight"},
    {"encoder.layers.{}.attention.qkv.bias", "blk.{}.attn_qkv.bias"},
    {"encoder.layers.{}.attention.query.weight", "blk.{}.attn_q.weight"},
    {"encoder.layers.{}.attention.query.bias", "blk.{}.attn_q.bias"},
    {"encoder.layers.{}.attention.key.weight", "blk.{}.attn_k.weight"},
    {"encoder.layers.{}.attention.key.bias", "blk.{}.attn_k.bias"},
    {"encoder.layers.{}.attention.value.weight", "blk.{}.attn_v.weight"},
    {"encoder.layers.{}.attention.value.bias", "blk.{}.attn_v.bias"},
    {"encoder.layers.{}.attention.output.weight", "blk.{}.attn_output.weight"},
    {"encoder.layers.{}.attention.output.bias", "blk.{}.attn_output.bias"},
    {"encoder.layers.{}.norm1.weight", "blk.{}.attn_output_norm.weight"},
    {"encoder.layers.{}.norm1.bias", "blk.{}.attn_output_norm.bias"},
    {"encoder.layers.{}.mlp.up.weight", "blk.{}.ffn_up.weight"},
    {"encoder.layers.{}.mlp.up.bias", "blk.{}.ffn_up.bias"},
    {"encoder.layers.{}.mlp.down.weight", "blk.{}.ffn_down.weight"},
    {"encoder.layers.{}.mlp.down.bias", "blk.{}.ffn_down.bias"},
    {"encoder.layers.{}.norm2.weight", "blk.{}.layer_output_norm.weight"},
    {"encoder.layers.{}.norm2.bias", "blk.{}.layer_output_norm.bias"},
    {"pooler.weight", "cls.weight"},
    {"pooler.bias", "cls.bias"},
    {"classifier.weight", "cls.output.weight"},
    {"classifier.bias", "cls.output.bias"}};

// llama.cpp's architecture "llama", whose converter reorders the rows.
bool turned_as_neighbours(const ArchSpec& spec) {
  return spec.model_type == "llama" || spec.model_type == "mistral" || spec.model_type == "mixtral";
}

WeightName stored_by(const ArchSpec& spec, WeightName name) {
  const std::string_view ours = name.ours;
  const bool of_query_or_key =
      ours.find("attention.query.") != ours.npos || ours.find("attention.key.") != ours.npos;
  if (of_query_or_key && turned_as_neighbours(spec)) name.rows = RowOrder::kNeighbours;
  if (ours.find("norm") != ours.npos && spec.norm == nn::NormKind::kRmsNormFromOne) name.added = 1;
  if (spec.model_type == "phi3") {
    if (ours == "layers.{}.mlp.gate.weight") name = {name.ours, "blk.{}.ffn_up.weight", RowOrder::kFirstHalf};
    if (ours == "layers.{}.mlp.up.weight") name.rows = RowOrder::kSecondHalf;
  }
  // Falcon's second norm is the attention's there, the MLP's here.
  if (spec.model_type == "falcon" && !spec.shared_norm) {
    if (ours == "layers.{}.norm1.weight") name.hugging_face = "blk.{}.attn_norm_2.weight";
    if (ours == "layers.{}.norm1.bias") name.hugging_face = "blk.{}.attn_norm_2.bias";
    if (ours == "layers.{}.norm2.weight") name.hugging_face = "blk.{}.attn_norm.weight";
    if (ours == "layers.{}.norm2.bias") name.hugging_face = "blk.{}.attn_norm.bias";
  }
  return name;
}

bool has_sizes(const json& config) {
  return config.is_object() && (config.contains("hidden_size") || config.contains("n_embd"));
}

}  // namespace

ArchSpec with_gguf_names(ArchSpec spec, const formats::ModelFiles& files) {
  check_gguf_architecture(files);
  spec.fused_qkv = files.contains("blk.0.attn_qkv.weight");
  DS_CHECK(
      !spec.fused_qkv || !turned_as_neighbours(spec),
      "{}: 'blk.0.attn_qkv.weight': fused queries and keys of the architecture llama are not available yet",
      files.source().string());
  if (spec.bidirectional) {
    // RoBERTa's positions that no token has are left out.
    spec.counted_positions = false;
    spec.position_offset = 0;
  }
  spec.names.clear();
  for (const WeightName& name : kNames) spec.names.push_back(stored_by(spec, name));
  spec.name_prefix.clear();
  spec.older_endings.clear();
  spec.other_heads.clear();
  spec.order = nn::WeightOrder::kOutIn;
  return spec;
}

ArchSpec gguf_arch_spec(const formats::ModelFiles& files) {
  ArchSpec spec = with_gguf_names(parse_arch_spec(gguf_config(files), files.source().string()), files);
  spec.output_bias = files.contains("blk.0.attn_output.bias");
  if (spec.bidirectional)
    spec.token_types = files.contains("token_types.weight") ? gguf_rows(files, "token_types.weight") : 0;
  if (files.contains("rope_freqs.weight")) {
    spec.rope.stretch = RopeStretch::kFactors;
    spec.rope.factors = floats_of(files, "rope_freqs.weight");
    DS_CHECK(spec.rope.factors.size() == static_cast<size_t>(spec.rope.dim / 2),
             "{}: 'rope_freqs.weight' has {} factors for {} frequencies", files.source().string(),
             spec.rope.factors.size(), spec.rope.dim / 2);
  }
  return spec;
}

namespace {

// As transformers 5 has it: where the files hold a head of other values than the table that config.json ties
// it to, they are not tied.
ArchSpec untied_by(const formats::ModelFiles& files, ArchSpec spec) {
  if (!spec.tied_embeddings || spec.bidirectional || spec.is_encoder_decoder()) return spec;
  const auto find = [&](const char* ours) -> const formats::MappedTensor* {
    const std::string name = spec.hugging_face_name(ours);
    if (files.contains(name)) return &files.tensor(name);
    const bool prefixed = !spec.name_prefix.empty() && name.starts_with(spec.name_prefix);
    const std::string bare = prefixed ? name.substr(spec.name_prefix.size()) : name;
    return files.contains(bare) ? &files.tensor(bare) : nullptr;
  };
  const auto *head = find("head.weight"), *table = find("embedding.weight");
  const bool comparable = head != nullptr && table != nullptr && head->contiguous() && table->contiguous() &&
                          head->encoding == table->encoding && head->bytes.size() == table->bytes.size();
  if (comparable && std::memcmp(head->bytes.data(), table->bytes.data(), head->bytes.size()) != 0)
    spec.tied_embeddings = false;
  return spec;
}

}  // namespace

ArchSpec arch_spec_of(const std::filesystem::path& folder_or_file, const formats::ModelFiles& files) {
  const bool folder = std::filesystem::is_directory(folder_or_file);
  const std::filesystem::path config =
      (folder ? folder_or_file : folder_or_file.parent_path()) / "config.json";
  if (files.gguf_metadata() == nullptr) {
    DS_CHECK(std::filesystem::exists(config), "'{}' is missing: it says what model the weights are of",
             config.string());
    return untied_by(files, read_arch_spec(config));
  }
  if (folder && std::filesystem::exists(config) &&
      has_sizes(json::parse(base::read_text_file(config, size_t{16} << 20), nullptr, false)))
    return with_gguf_names(read_arch_spec(config), files);
  return gguf_arch_spec(files);
}

}  // namespace deepspeed::models
