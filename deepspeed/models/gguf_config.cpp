#include "deepspeed/models/gguf_config.h"

#include <string_view>

#include "deepspeed/base/error.h"
#include "deepspeed/models/gguf_keys.h"

namespace deepspeed::models {
namespace {

using nlohmann::json;

struct Family {
  std::string_view architecture;
  const char* model_type;
  GgufReader read;
};
constexpr Family kFamilies[] = {{"bert", "bert", gguf_bert_keys},
                                {"bloom", "bloom", gguf_bloom_keys},
                                {"falcon", "falcon", gguf_falcon_keys},
                                {"gemma", "gemma", gguf_rms_keys},
                                {"gemma2", "gemma2", gguf_gemma2_keys},
                                {"gemma3", "gemma3_text", gguf_gemma3_keys},
                                {"gpt2", "gpt2", gguf_gpt2_keys},
                                {"gptj", "gptj", gguf_gptj_keys},
                                {"gptneox", "gpt_neox", gguf_gpt_neox_keys},
                                {"llama", "llama", gguf_llama_keys},
                                {"phi2", "phi", gguf_phi_keys},
                                {"phi3", "phi3", gguf_phi3_keys},
                                {"qwen2", "qwen2", gguf_rms_keys},
                                {"qwen2moe", "qwen2_moe", gguf_qwen2_moe_keys},
                                {"qwen3", "qwen3", gguf_rms_keys}};

const Family& family_of(const GgufKeys& keys) {
  std::string known;
  for (const Family& family : kFamilies) {
    if (family.architecture == keys.architecture()) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.architecture);
  }
  base::fail("{}: GGUF models of the architecture \"{}\" are not available yet (known: {})",
             keys.files().source().string(), formats::shown(keys.architecture()), known);
}

// A hostile count makes no large model: what is built is no larger than the file's tensors.
void check_sizes(const GgufKeys& keys, const formats::MappedTensor& table) {
  const formats::ModelFiles& files = keys.files();
  const std::string where = files.source().string();
  DS_CHECK(table.shape.size() == 2, "{}: 'token_embd.weight' has shape {}, which is no table of embeddings",
           where, formats::shape_text(table.shape));
  DS_CHECK(static_cast<size_t>(keys.positive("block_count")) <= files.names().size(),
           "{}: '{}' is {}, more than the file's {} tensors", where, keys.full("block_count"),
           keys.integer("block_count"), files.names().size());
  DS_CHECK(keys.integer("embedding_length") == table.shape[1],
           "{}: '{}' is {}, but the rows of 'token_embd.weight' have {} elements", where,
           keys.full("embedding_length"), keys.integer("embedding_length"), table.shape[1]);
}

}  // namespace

GgufKeys::GgufKeys(const formats::ModelFiles& files)
    : files_(files),
      all_(*files.gguf_metadata()),
      architecture_(all_.text("general.architecture")),
      prefix_(architecture_ + ".") {}

std::vector<std::string> GgufKeys::texts(const std::string& key) const {
  std::vector<std::string> out;
  if (has(key))
    for (const auto text : all_.texts(prefix_ + key)) out.emplace_back(text);
  return out;
}

std::optional<std::vector<bool>> GgufKeys::flags(const std::string& key) const {
  if (!has(key) || all_.value(prefix_ + key).type != formats::GgufType::kArray) return std::nullopt;
  return all_.booleans(prefix_ + key);
}

int64_t GgufKeys::positive(const std::string& key) const {
  const int64_t value = integer(key);
  DS_CHECK(value > 0, "{}: '{}{}' is {}; it must be positive", files_.source().string(), prefix_, key, value);
  return value;
}

double GgufKeys::turned_share() const {
  const int64_t dim = head_dim(), turned = integer("rope.dimension_count", dim);
  return turned == dim ? 1 : (static_cast<double>(turned) + 0.5) / static_cast<double>(dim);
}

json gguf_config(const formats::ModelFiles& files) {
  const GgufKeys keys(files);
  const Family& family = family_of(keys);
  const auto& table = files.tensor("token_embd.weight");
  check_sizes(keys, table);
  json config = {{"model_type", family.model_type},
                 {"vocab_size", table.shape[0]},
                 {"tie_word_embeddings", !files.contains("output.weight")},
                 {"pad_token_id", nullptr}};  // it matters for training alone
  family.read(keys, config);
  return config;
}

int64_t gguf_rows(const formats::ModelFiles& files, const std::string& name) {
  const auto& shape = files.tensor(name).shape;
  DS_CHECK(!shape.empty(), "{}: '{}' has no dimensions", files.source().string(), name);
  return shape[0];
}

void check_gguf_architecture(const formats::ModelFiles& files) { family_of(GgufKeys(files)); }

}  // namespace deepspeed::models
