// Everything a DeepSpeed configuration file says, one struct an owner; engine/parse_config.h fills it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/aio/config.h"
#include "deepspeed/checkpoint/config.h"
#include "deepspeed/config/data_type.h"
#include "deepspeed/observe/config.h"
#include "deepspeed/optim/config.h"
#include "deepspeed/recompute/config.h"
#include "deepspeed/zero/config.h"

namespace deepspeed::engine {

/// The top-level keys that the engine itself obeys. After parsing the three batch keys are resolved and
/// consistent: train_batch_size = train_micro_batch_size_per_gpu * gradient_accumulation_steps *
/// data-parallel world size.
struct EngineConfig {
  /// Samples of one optimizer step over all ranks.
  int64_t train_batch_size = 0;
  /// Samples of one forward and backward on one rank.
  int64_t train_micro_batch_size_per_gpu = 0;
  /// Micro-batches of one optimizer step.
  int64_t gradient_accumulation_steps = 1;
  /// False: the caller's step() says where a window of accumulation ends.
  bool managed_gradient_accumulation = true;
  /// Largest global L2 norm of the gradients; 0 switches clipping off.
  double gradient_clipping = 1.0;
  /// A progress line every so many steps on rank 0; nothing: none.
  std::optional<int64_t> steps_per_print;
  /// Whether an epoch ends with its last full micro-batch; else that goes on with the next epoch's samples.
  bool dataloader_drop_last = false;
  /// data_types.grad_accum_dtype. Nothing: the model's own format.
  std::optional<config::DataType> grad_accum_dtype;
  /// data_types.param_dtype. Nothing, or what the precision that is enabled says anyway.
  std::optional<config::DataType> param_dtype;
  /// data_types.buffer_dtype: what fp16 and bf16 cast floating-point buffers to. Nothing: they stay as
  /// loaded.
  std::optional<config::DataType> buffer_dtype;
  /// data_types.keep_in_fp32_modules: patterns of the names of buffers that fp16 and bf16 leave (or make)
  /// fp32. Nothing: "auto".
  std::optional<std::vector<std::string>> keep_in_fp32_modules;
  /// Rank 0 prints the engine's state once it is ready.
  bool dump_state = false;
  /// Lets ZeRO run with an optimizer of the caller's that it does not know.
  bool zero_allow_untested_optimizer = false;
  /// With optimizer offload an optimizer of the caller's is an error.
  bool zero_force_ds_cpu_optimizer = true;
  /// debug, info, warning, error or critical; nothing: as it is.
  std::optional<std::string> log_level;
};

struct DeepspeedConfig {
  EngineConfig engine;
  zero::ZeroConfig zero;
  optim::OptimizerConfig optimizer;
  optim::SchedulerConfig scheduler;
  optim::Fp16Config fp16;
  optim::Bf16Config bf16;
  optim::AutocastConfig torch_autocast;
  recompute::RecomputeConfig activation_checkpointing;
  checkpoint::CheckpointConfig checkpoint;
  aio::AioConfig aio;
  observe::ObserveConfig observe;
  /// The file as read, for checkpoints ("ds_config").
  nlohmann::ordered_json raw;
  /// One line each, for rank 0 to print: deprecated keys, values that have no effect.
  std::vector<std::string> warnings;

  /// The format of what the optimizer updates.
  config::DataType master_dtype() const {
    if (bf16.enabled && bf16.bf16_master_weights_and_grads) return config::DataType::kBf16;
    return fp16.enabled && fp16.fp16_master_weights_and_grads ? config::DataType::kFp16
                                                              : config::DataType::kFp32;
  }
  /// The format of parameters and activations: fp16, bf16, else fp32.
  config::DataType model_dtype() const {
    if (fp16.enabled) return config::DataType::kFp16;
    return bf16.enabled ? config::DataType::kBf16 : config::DataType::kFp32;
  }
  /// The same in words, autocast included.
  std::string precision_text() const {
    if (model_dtype() != config::DataType::kFp32) return fp16.enabled ? "fp16" : "bf16";
    const auto cast_to = torch_autocast.cast_type();
    if (!cast_to) return "fp32";
    return *cast_to == config::DataType::kFp16 ? "fp32 with autocast to fp16" : "fp32 with autocast to bf16";
  }
  /// Whether losses are multiplied by a loss scale before backward.
  bool scales_loss() const { return fp16.enabled || torch_autocast.cast_type() == config::DataType::kFp16; }
};

}  // namespace deepspeed::engine
