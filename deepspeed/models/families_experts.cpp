// Mixtures of experts: Mixtral, Qwen2-MoE.
#include <algorithm>
#include <iterator>

#include "deepspeed/base/error.h"
#include "deepspeed/models/families.h"
#include "deepspeed/models/rope_config.h"

namespace deepspeed::models {
namespace {

constexpr WeightName kMixtralNames[] = {
    {"layers.{}.moe.router.weight", "model.layers.{}.block_sparse_moe.gate.weight"},
    {"layers.{}.moe.experts.{}.gate.weight", "model.layers.{}.block_sparse_moe.experts.{}.w1.weight"},
    {"layers.{}.moe.experts.{}.up.weight", "model.layers.{}.block_sparse_moe.experts.{}.w3.weight"},
    {"layers.{}.moe.experts.{}.down.weight", "model.layers.{}.block_sparse_moe.experts.{}.w2.weight"}};

constexpr WeightName kQwen2MoeNames[] = {
    {"layers.{}.moe.router.weight", "model.layers.{}.mlp.gate.weight"},
    {"layers.{}.moe.experts.{}.gate.weight", "model.layers.{}.mlp.experts.{}.gate_proj.weight"},
    {"layers.{}.moe.experts.{}.up.weight", "model.layers.{}.mlp.experts.{}.up_proj.weight"},
    {"layers.{}.moe.experts.{}.down.weight", "model.layers.{}.mlp.experts.{}.down_proj.weight"},
    {"layers.{}.moe.shared.gate.weight", "model.layers.{}.mlp.shared_expert.gate_proj.weight"},
    {"layers.{}.moe.shared.up.weight", "model.layers.{}.mlp.shared_expert.up_proj.weight"},
    {"layers.{}.moe.shared.down.weight", "model.layers.{}.mlp.shared_expert.down_proj.weight"},
    {"layers.{}.moe.shared_gate.weight", "model.layers.{}.mlp.shared_expert_gate.weight"}};

// transformers adds the loss that balances experts where it is to give the routers' logits.
double balance(const ConfigReader& config) {
  return config.flag("output_router_logits", false) ? config.number("router_aux_loss_coef", 0.001) : 0;
}

// Layers with experts are every decoder_sparse_step-th one, but for those in mlp_only_layers.
std::vector<bool> sparse_layers(const ConfigReader& config, int64_t layers) {
  const int64_t step = config.size("decoder_sparse_step", 1);
  std::vector<bool> sparse(static_cast<size_t>(layers));
  for (int64_t i = 0; i < layers; ++i) sparse[static_cast<size_t>(i)] = (i + 1) % step == 0;
  if (!config.present("mlp_only_layers")) return sparse;
  for (const auto& layer : config.at("mlp_only_layers")) {
    DS_CHECK(layer.is_number_integer() && layer >= 0 && layer < layers,
             "{}: 'mlp_only_layers' names layer {} of {}", config.where(), shown(layer), layers);
    sparse[layer.get<size_t>()] = false;
  }
  return sparse;
}

// Otherwise than in Qwen2, every other one of the first layers has the window.
std::vector<int64_t> qwen2_moe_windows(const ConfigReader& config, int64_t layers) {
  const int64_t window = config.flag("use_sliding_window", false) ? config.size("sliding_window", 4096) : 0;
  if (const auto listed = windows_by_type(config, layers, window)) return *listed;
  if (window == 0) return {};
  const auto until = static_cast<int64_t>(config.number("max_window_layers", 28));
  std::vector<int64_t> windows(static_cast<size_t>(layers), 0);
  for (int64_t i = 0; i < std::min(layers, until); i += 2) windows[static_cast<size_t>(i)] = window;
  return windows;
}

}  // namespace

ArchSpec mixtral(const ConfigReader& config) {
  config.only("hidden_act", "silu");
  config.only("router_jitter_noise", 0);
  ArchSpec s = rms_family(config, {.vocab = 32000,
                                   .hidden = 4096,
                                   .layers = 32,
                                   .heads = 32,
                                   .intermediate = 14336,
                                   .max_positions = 131072,
                                   .kv_heads = 8,
                                   .norm_eps = 1e-5});
  read_rope(config, {.default_theta = 1000000}, s);
  if (config.present("sliding_window"))
    s.windows.assign(static_cast<size_t>(s.layers), config.size("sliding_window"));
  s.experts = {.count = config.size("num_local_experts", 8),
               .chosen = config.size("num_experts_per_tok", 2),
               .intermediate = s.intermediate,
               .normalised = true,
               .balance = balance(config)};
  s.names.insert(s.names.end(), std::begin(kMixtralNames), std::end(kMixtralNames));
  return s;
}

ArchSpec qwen2_moe(const ConfigReader& config) {
  config.only("hidden_act", "silu");
  ArchSpec s = rms_family(config, {.vocab = 151936,
                                   .hidden = 2048,
                                   .layers = 24,
                                   .heads = 16,
                                   .intermediate = 5632,
                                   .max_positions = 32768,
                                   .kv_heads = 16});
  read_rope(config, {}, s);
  s.qkv_bias = config.flag("qkv_bias", true);
  s.windows = qwen2_moe_windows(config, s.layers);
  s.experts = {.count = config.size("num_experts", 60),
               .chosen = config.size("num_experts_per_tok", 4),
               .intermediate = config.size("moe_intermediate_size", 1408),
               .shared_intermediate = config.size("shared_expert_intermediate_size", 5632),
               .normalised = config.flag("norm_topk_prob", false),
               .balance = balance(config),
               .layers = sparse_layers(config, s.layers)};
  s.names.insert(s.names.end(), std::begin(kQwen2MoeNames), std::end(kQwen2MoeNames));
  return s;
}

}  // namespace deepspeed::models
