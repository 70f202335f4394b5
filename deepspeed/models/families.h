// The rows of the table in arch_spec.cpp: one function a family, from its config.json to the spec. Defaults
// are those of transformers' configuration classes.
#pragma once

#include "deepspeed/models/arch_spec.h"
#include "deepspeed/models/config_reader.h"

namespace deepspeed::models {

/// ArchSpec::max_positions where no table of positions ends.
constexpr int64_t kAnyLength = int64_t{1} << 30;

ArchSpec albert(const ConfigReader& config);
ArchSpec bert(const ConfigReader& config);
ArchSpec bloom(const ConfigReader& config);
ArchSpec deberta_v2(const ConfigReader& config);
ArchSpec distilbert(const ConfigReader& config);
ArchSpec falcon(const ConfigReader& config);
ArchSpec gemma(const ConfigReader& config);
ArchSpec gemma2(const ConfigReader& config);
ArchSpec gemma3(const ConfigReader& config);
ArchSpec gpt2(const ConfigReader& config);
ArchSpec gpt_neo(const ConfigReader& config);
ArchSpec gpt_neox(const ConfigReader& config);
ArchSpec gptj(const ConfigReader& config);
ArchSpec llama(const ConfigReader& config);
ArchSpec mistral(const ConfigReader& config);
ArchSpec mixtral(const ConfigReader& config);
ArchSpec opt(const ConfigReader& config);
ArchSpec phi(const ConfigReader& config);
ArchSpec phi3(const ConfigReader& config);
ArchSpec qwen2(const ConfigReader& config);
ArchSpec qwen2_moe(const ConfigReader& config);
ArchSpec qwen3(const ConfigReader& config);
ArchSpec roberta(const ConfigReader& config);
ArchSpec t5(const ConfigReader& config);
ArchSpec xlm_roberta(const ConfigReader& config);

/// The hidden size over the heads. Error where that is not whole.
int64_t head_dim_of(const ConfigReader& config, const ArchSpec& spec);

/// An activation by transformers' name. Errors: those that are not built.
nn::Activation activation_of(const ConfigReader& config, const char* key, const std::string& fallback);

/// The window of each layer by config.json's "layer_types", if it is there: `window` where the layer is a
/// "sliding_attention". Error for other types, and other numbers of layers.
std::optional<std::vector<int64_t>> windows_by_type(const ConfigReader& config, int64_t layers,
                                                    int64_t window);

/// What configurations of encoders say alike (families_bert.cpp): vocabulary, positions, classes, norms after
/// sums, and which heads files may lack.
ArchSpec encoder_family(const ConfigReader& config, int64_t vocab, int64_t padding);
/// Of encoders that call it as BERT does.
void read_encoder_dropout(const ConfigReader& config, double fallback, ArchSpec& spec);

/// What families with RMS norms, rotary positions and gated MLPs share (families_llama.cpp).
struct RmsDefaults {
  int64_t vocab, hidden, layers, heads, intermediate, max_positions;
  int64_t kv_heads = 0;  // 0: as many as heads
  int64_t head_dim = 0;  // 0: hidden over heads
  double norm_eps = 1e-6;
  std::optional<int64_t> padding_token{};
  bool tied = false;
};
/// Everything but rotary positions, activation and windows; names as LLaMA's.
ArchSpec rms_family(const ConfigReader& config, const RmsDefaults& defaults);

}  // namespace deepspeed::models
