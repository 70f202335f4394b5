#include "deepspeed/models/arch_spec.h"

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/models/families.h"

namespace deepspeed::models {
namespace {

using nlohmann::json;

struct Row {
  const char* model_type;
  const char* architecture;
  ArchSpec (*read)(const ConfigReader&);
};
constexpr Row kRows[] = {
    {"bert", "BertForMaskedLM", bert},    {"bloom", "BloomForCausalLM", bloom},
    {"gpt2", "GPT2LMHeadModel", gpt2},    {"gpt_neox", "GPTNeoXForCausalLM", gpt_neox},
    {"llama", "LlamaForCausalLM", llama}, {"mistral", "MistralForCausalLM", mistral},
    {"opt", "OPTForCausalLM", opt},       {"phi3", "Phi3ForCausalLM", phi3},
    {"qwen2", "Qwen2ForCausalLM", qwen2},
};

void check(const ArchSpec& s, const std::string& where) {
  DS_CHECK(s.heads % s.kv_heads == 0, "{}: {} attention heads are not a multiple of {} key-value heads",
           where, s.heads, s.kv_heads);
  DS_CHECK(s.positions != Positions::kRotary ||
               (s.rotary_dim > 0 && s.rotary_dim % 2 == 0 && s.rotary_dim <= s.head_dim),
           "{}: rotary positions turn {} of a head's {} elements; want an even number", where, s.rotary_dim,
           s.head_dim);
  DS_CHECK(s.norm_eps > 0 && s.init_std > 0 && s.rope_theta > 0,
           "{}: epsilon, initializer range and rope theta must be positive", where);
}

// "layers.<n>.", perhaps within a member, is the one place where a number stands.
struct LayerName {
  std::string pattern, number;
};
LayerName split_layer(const std::string& ours) {
  const size_t list = ours.find("layers."), number = list + 7;
  if (list == std::string::npos) return {ours, ""};
  const size_t end = std::min(ours.find('.', number), ours.size());
  return {ours.substr(0, number) + "{}" + ours.substr(end), ours.substr(number, end - number)};
}

const WeightName& row_of(const ArchSpec& spec, const std::string& ours, const std::string& pattern) {
  const auto row = std::find_if(spec.names.begin(), spec.names.end(),
                                [&](const WeightName& name) { return pattern == name.ours; });
  DS_CHECK(row != spec.names.end(), "the {} table has no Hugging Face name for '{}'", spec.model_type, ours);
  return *row;
}

}  // namespace

std::string ArchSpec::hugging_face_name(const std::string& ours) const {
  const auto [pattern, number] = split_layer(ours);
  std::string name = row_of(*this, ours, pattern).hugging_face;
  if (const size_t hole = name.find("{}"); hole != std::string::npos) name.replace(hole, 2, number);
  return name;
}

RowOrder ArchSpec::row_order(const std::string& ours) const {
  return row_of(*this, ours, split_layer(ours).pattern).rows;
}

bool ArchSpec::is_head(const std::string& ours) const {
  return std::any_of(head_prefixes.begin(), head_prefixes.end(),
                     [&](const std::string& prefix) { return ours.starts_with(prefix); });
}

ArchSpec parse_arch_spec(const json& config, const std::string& where) {
  DS_CHECK(config.is_object(), "{}: a model's configuration must be a JSON object", where);
  const ConfigReader reader(config, where);
  const std::string type = reader.text("model_type", "");
  std::string known;
  for (const Row& row : kRows) {
    if (type == row.model_type) {
      ArchSpec spec = row.read(reader);
      spec.model_type = type;
      spec.architecture = row.architecture;
      check(spec, where);
      return spec;
    }
    known += (known.empty() ? "" : ", ") + std::string(row.model_type);
  }
  base::fail("{}: model_type \"{}\" is not available yet (known: {})", where, type, known);
}

ArchSpec read_arch_spec(const std::filesystem::path& config_json) {
  const std::string text = base::read_text_file(config_json, size_t{16} << 20);
  json config;
  try {
    config = json::parse(text);
  } catch (const json::parse_error& error) {
    base::fail("{}: not valid JSON: {}", config_json.string(), error.what());
  }
  return parse_arch_spec(config, config_json.string());
}

}  // namespace deepspeed::models
