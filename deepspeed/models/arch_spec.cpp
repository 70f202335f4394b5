#include "deepspeed/models/arch_spec.h"

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/models/families.h"
#include "deepspeed/models/json_file.h"

namespace deepspeed::models {
namespace {

using nlohmann::json;

struct Row {
  const char* model_type;
  const char* architecture;
  ArchSpec (*read)(const ConfigReader&);
};
constexpr Row kRows[] = {
    {"albert", "AlbertForMaskedLM", albert},
    {"bert", "BertForMaskedLM", bert},
    {"bloom", "BloomForCausalLM", bloom},
    {"deberta-v2", "DebertaV2ForMaskedLM", deberta_v2},
    {"distilbert", "DistilBertForMaskedLM", distilbert},
    {"falcon", "FalconForCausalLM", falcon},
    {"gemma", "GemmaForCausalLM", gemma},
    {"gemma2", "Gemma2ForCausalLM", gemma2},
    {"gemma3_text", "Gemma3ForCausalLM", gemma3},
    {"gpt2", "GPT2LMHeadModel", gpt2},
    {"gpt_neo", "GPTNeoForCausalLM", gpt_neo},
    {"gpt_neox", "GPTNeoXForCausalLM", gpt_neox},
    {"gptj", "GPTJForCausalLM", gptj},
    {"llama", "LlamaForCausalLM", llama},
    {"mistral", "MistralForCausalLM", mistral},
    {"mixtral", "MixtralForCausalLM", mixtral},
    {"opt", "OPTForCausalLM", opt},
    {"phi", "PhiForCausalLM", phi},
    {"phi3", "Phi3ForCausalLM", phi3},
    {"qwen2", "Qwen2ForCausalLM", qwen2},
    {"qwen2_moe", "Qwen2MoeForCausalLM", qwen2_moe},
    {"qwen3", "Qwen3ForCausalLM", qwen3},
    {"roberta", "RobertaForMaskedLM", roberta},
    {"t5", "T5ForConditionalGeneration", t5},
    {"xlm-roberta", "XLMRobertaForMaskedLM", xlm_roberta},
};

// Counts that no model has are refused before anything as long is allocated.
void check_counts(const json& config, const std::string& where) {
  constexpr int64_t kMost = 100000;
  const auto largest = [&](std::initializer_list<const char*> keys) {
    int64_t most = 1;
    for (const char* key : keys) {
      const auto found = config.find(key);
      if (found == config.end() || !found->is_number_integer()) continue;
      DS_CHECK(whole_number(*found) <= kMost, "{}: '{}' is {}, more than the {} that a model may have", where,
               key, found->dump(), kMost);
      most = std::max(most, whole_number(*found));
    }
    return most;
  };
  largest({"num_attention_heads", "n_head", "num_heads", "n_heads"});
  const int64_t layers = largest({"num_hidden_layers", "n_layer", "num_layers", "n_layers"}),
                experts = largest({"num_local_experts", "num_experts"});
  DS_CHECK(layers * experts <= kMost,
           "{}: {} layers of {} experts are more than the {} that a model may have", where, layers, experts,
           kMost);
}

void check(const ArchSpec& s, const std::string& where) {
  DS_CHECK(s.heads % s.kv_heads == 0, "{}: {} attention heads are not a multiple of {} key-value heads",
           where, s.heads, s.kv_heads);
  DS_CHECK(s.positions != Positions::kRotary ||
               (s.rope.dim > 0 && s.rope.dim % 2 == 0 && s.rope.dim <= s.head_dim),
           "{}: rotary positions turn {} of a head's {} elements; want an even number", where, s.rope.dim,
           s.head_dim);
  DS_CHECK(s.norm_eps > 0 && s.init_std > 0 && s.rope.theta > 0,
           "{}: epsilon, initializer range and rope theta must be positive", where);
  DS_CHECK(s.attention_softcap >= 0 && s.logit_softcap >= 0, "{}: a softcap must be positive, or null",
           where);
  DS_CHECK(s.experts.chosen <= s.experts.count, "{}: a token cannot go to {} of {} experts", where,
           s.experts.chosen, s.experts.count);
}

// A name with "{}" in place of the numbers in it: a layer's, an expert's.
struct NumberedName {
  std::string pattern;
  std::vector<std::string> numbers;
};
NumberedName split_numbers(const std::string& ours) {
  NumberedName name;
  for (size_t begin = 0; begin <= ours.size();) {
    const size_t end = std::min(ours.find('.', begin), ours.size());
    const std::string part = ours.substr(begin, end - begin);
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
    if (number) name.numbers.push_back(part);
    name.pattern += (begin > 0 ? "." : "") + (number ? "{}" : part);
    begin = end + 1;
  }
  return name;
}

const WeightName& row_of(const ArchSpec& spec, const std::string& ours, const std::string& pattern) {
  const auto row = std::find_if(spec.names.begin(), spec.names.end(),
                                [&](const WeightName& name) { return pattern == name.ours; });
  DS_CHECK(row != spec.names.end(), "the {} table has no Hugging Face name for '{}'", spec.model_type, ours);
  return *row;
}

}  // namespace

std::string ArchSpec::hugging_face_name(const std::string& ours) const {
  auto [pattern, numbers] = split_numbers(ours);
  const WeightName& row = row_of(*this, ours, pattern);
  if (row.rows == RowOrder::kExpertOfAll) numbers.pop_back();
  std::string name = full_name(row);
  for (const std::string& number : numbers) {
    const size_t hole = name.find("{}");
    DS_CHECK(hole != std::string::npos, "the {} table's '{}' has too few places for numbers", model_type,
             name);
    name.replace(hole, 2, number);
  }
  return name;
}

std::string ArchSpec::full_name(const WeightName& row) const {
  return row.hugging_face[0] == '.' ? name_prefix + (row.hugging_face + 1) : row.hugging_face;
}

RowOrder ArchSpec::row_order(const std::string& ours) const {
  return row_of(*this, ours, split_numbers(ours).pattern).rows;
}

int64_t ArchSpec::place_in_file(const std::string& ours) const {
  const NumberedName name = split_numbers(ours);
  return row_of(*this, ours, name.pattern).rows == RowOrder::kExpertOfAll ? std::stoll(name.numbers.back())
                                                                          : 0;
}

double ArchSpec::added(const std::string& ours) const {
  return row_of(*this, ours, split_numbers(ours).pattern).added;
}

bool ArchSpec::is_head(const std::string& ours) const {
  return std::any_of(head_prefixes.begin(), head_prefixes.end(),
                     [&](const std::string& prefix) { return ours.starts_with(prefix); });
}

bool ArchSpec::is_of_a_head(const std::string& name) const {
  for (const std::string& other : other_heads)
    if (name.starts_with(other)) return true;
  return std::any_of(names.begin(), names.end(), [&](const WeightName& row) {
    const bool head =
        is_head(row.ours) || (tied_embeddings && std::string(row.ours).ends_with("head.weight"));
    return head && name == full_name(row);
  });
}

ArchSpec parse_arch_spec(const json& config, const std::string& where) {
  DS_CHECK(config.is_object(), "{}: a model's configuration must be a JSON object", where);
  check_counts(config, where);
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
  base::fail("{}: model_type \"{}\" is not available yet (known: {})", where, formats::shown(type), known);
}

ArchSpec read_arch_spec(const std::filesystem::path& config_json) {
  return parse_arch_spec(read_json_file(config_json), config_json.string());
}

}  // namespace deepspeed::models
