// The blocks `optimizer`, `scheduler`, `fp16`, `bf16` and `torch_autocast`. Plain data: formulas are in
// optim/'s other headers.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "deepspeed/config/data_type.h"

namespace deepspeed::optim {

enum class OptimizerType { kAdam, kAdamW, kAdagrad, kLion };

/// `optimizer`: {type, params}. Adam is decoupled (AdamW) unless adam_w_mode is false; see
/// decoupled_weight_decay(). Defaults are Adam's and Lion's; parsing an Adagrad sets its own, lr 1e-2 and eps
/// 1e-10.
struct OptimizerConfig {
  /// Nothing: the caller brings an optimizer, or there is none.
  std::optional<OptimizerType> type;
  double lr = 1e-3;
  /// Each in [0, 1).
  std::array<double, 2> betas{0.9, 0.999};
  double eps = 1e-8;
  /// 0 where not given, but 0.01 for decoupled torch_adam, as torch.optim.AdamW has it.
  double weight_decay = 0;
  bool bias_correction = true;
  bool adam_w_mode = true;
  /// Asks for torch.optim's own Adam(W); here it changes the default weight_decay and nothing else.
  bool torch_adam = false;
  /// Adagrad without offload: lr / (1 + (step-1)*lr_decay).
  double lr_decay = 0;
  /// Adagrad without offload: what the sums of squares start from.
  double initial_accumulator_value = 0;
  /// False, which needs optimizer offload, keeps the states of 16-bit masters in 16 bits.
  bool fp32_optimizer_states = true;

  /// Whether the decay is decoupled from the moments (Loshchilov and Hutter 2019) rather than added to the
  /// gradient.
  bool decoupled_weight_decay() const { return type == OptimizerType::kAdamW || adam_w_mode; }
};

/// One value for every parameter group, or one a group; empty: each group's own learning rate.
using PerGroup = std::vector<double>;

enum class WarmupType { kLog, kLinear };

/// Learning-rate range test (Smith 2017).
struct LrRangeTestConfig {
  PerGroup lr_range_test_min_lr{1e-3};
  /// Steps, > 0.
  int64_t lr_range_test_step_size = 2000;
  double lr_range_test_step_rate = 1.0;
  bool lr_range_test_staircase = false;
};

/// 1-cycle policy (Smith 2018) with optional decay after the cycle.
struct OneCycleConfig {
  /// Required.
  double cycle_min_lr = 0;
  /// Required.
  double cycle_max_lr = 0;
  double decay_lr_rate = 0;
  int64_t cycle_first_step_size = 2000;
  /// Nothing: as the first.
  std::optional<int64_t> cycle_second_step_size;
  int64_t cycle_first_stair_count = 0;
  /// Nothing: as the first.
  std::optional<int64_t> cycle_second_stair_count;
  int64_t decay_step_size = 0;
  bool cycle_momentum = true;
  double cycle_min_mom = 0.8;
  double cycle_max_mom = 0.9;
  double decay_mom_rate = 0;
};

struct WarmupLrConfig {
  PerGroup warmup_min_lr{0.0};
  /// Empty (the default): the group's learning rate.
  PerGroup warmup_max_lr;
  /// Steps, > 0; the schedule uses at least 2.
  int64_t warmup_num_steps = 1000;
  WarmupType warmup_type = WarmupType::kLog;
};

struct WarmupDecayLrConfig {
  /// Required, > 0.
  int64_t total_num_steps = 0;
  PerGroup warmup_min_lr{0.0};
  PerGroup warmup_max_lr{1e-3};
  int64_t warmup_num_steps = 1000;
  WarmupType warmup_type = WarmupType::kLog;
};

/// Ratios are of each group's own learning rate.
struct WarmupCosineLrConfig {
  /// Required, > 0.
  int64_t total_num_steps = 0;
  double warmup_min_ratio = 0;
  int64_t warmup_num_steps = 1000;
  double cos_min_ratio = 1e-4;
  WarmupType warmup_type = WarmupType::kLog;
};

/// `scheduler`: {type, params}; monostate: no schedule.
struct SchedulerConfig {
  std::variant<std::monostate, LrRangeTestConfig, OneCycleConfig, WarmupLrConfig, WarmupDecayLrConfig,
               WarmupCosineLrConfig>
      schedule;
};

/// `fp16`. Integer and float ranges hold after parsing.
struct Fp16Config {
  bool enabled = false;
  /// 0: dynamic; > 0: static.
  double loss_scale = 0;
  /// The first dynamic scale is 2^initial_scale_power.
  int initial_scale_power = 16;
  /// Overflow-free iterations before the scale doubles; > 0 when dynamic.
  int64_t loss_scale_window = 1000;
  /// Overflows tolerated before the scale drops.
  int hysteresis = 2;
  /// Refill the hysteresis on every clean iteration.
  bool consecutive_hysteresis = false;
  /// Floor of the dynamic scale; > 0 when dynamic.
  int64_t min_loss_scale = 1;
  /// Cast the floating-point inputs that Engine::forward is given to fp16.
  bool auto_cast = false;
  /// No fp32 copy of the weights. Needs ZeRO and optimizer offload with Adam.
  bool fp16_master_weights_and_grads = false;

  bool dynamic() const { return loss_scale == 0; }
};

/// `bf16` (also read from `bfloat16` where `bf16` is absent).
struct Bf16Config {
  bool enabled = false;
  /// Skip the step when a gradient is infinite or NaN.
  bool check_grad_overflow = true;
  /// No fp32 copy of the weights: the optimizer rounds its result to bf16. Needs ZeRO, and
  /// bf16_optimizer_states or optimizer offload with Adam.
  bool bf16_master_weights_and_grads = false;
  /// Moments in bf16, too.
  bool bf16_optimizer_states = false;
};

/// `torch_autocast`: parameters stay fp32, the forward runs under libtorch's autocast.
struct AutocastConfig {
  bool enabled = false;
  /// What matrix products run in, and what gradients of the safe modules travel in at stages 1 and 2.
  /// Nothing: bf16, the CPU's default.
  std::optional<config::DataType> dtype;
  /// Classes of modules whose gradients may travel in that format; nothing: Linear, Conv1d, Conv2d, Conv3d.
  std::optional<std::vector<std::string>> lower_precision_safe_modules;

  /// What is cast to; nothing where autocast is off (in fp32 there is nothing to cast).
  std::optional<config::DataType> cast_type() const {
    const auto type = dtype.value_or(config::DataType::kBf16);
    return enabled && type != config::DataType::kFp32 ? std::optional(type) : std::nullopt;
  }
};

}  // namespace deepspeed::optim
