#include "deepspeed/engine/dry_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/engine/size_text.h"
#include "deepspeed/zero/bucket_plan.h"
#include "deepspeed/zero/coded_tensor.h"
#include "deepspeed/zero/offload_plan.h"
#include "deepspeed/zero/state_table.h"

namespace deepspeed::engine {
namespace {

int64_t bytes_of(config::DataType type) { return type == config::DataType::kFp32 ? 4 : 2; }

// Of what the optimizer keeps beside an element: Adam's two moments, Lion's one, Adagrad's sum.
int64_t moment_bytes(const DeepspeedConfig& config) {
  using optim::OptimizerType;
  const auto type = config.optimizer.type.value_or(OptimizerType::kAdam);
  const int64_t moments = type == OptimizerType::kAdam || type == OptimizerType::kAdamW ? 2 : 1;
  const bool in_fp32 = config.zero.offload_optimizer.enabled() && config.optimizer.fp32_optimizer_states &&
                       !config.bf16.bf16_optimizer_states;
  return moments * bytes_of(in_fp32 ? config::DataType::kFp32 : config.master_dtype());
}

std::string grouped(int64_t number) {
  const std::string digits = std::to_string(number);
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

std::string partition_text(const zero::StateTable& table, const partition::Layout& layout) {
  if (!table.optimizer.sharded) return "every rank holds all states";
  const int64_t padding = layout.padded_numel() - layout.numel();
  const char* also = table.parameter.sharded  ? "parameters, gradients and "
                     : table.gradient.sharded ? "gradients and "
                                              : "";
  return fmt::format("{}optimizer states in {} part{} of {} elements{}", also, layout.world_size(),
                     layout.world_size() == 1 ? "" : "s", grouped(layout.shard_numel()),
                     padding > 0 ? fmt::format(" ({} of padding in all)", grouped(padding)) : "");
}

// Bytes of what stage 3 keeps on every rank beside its parts: persistent parameters, and hpZ's share of a
// second copy of the others.
int64_t bytes_beside_parts(const DeepspeedConfig& config, const partition::Layout& layout) {
  const zero::Stage3Config& stage3 = config.zero.stage3;
  const zero::PlusPlusConfig& plus = config.zero.plus_plus;
  const int64_t element = bytes_of(config.model_dtype()), ranks = layout.world_size();
  const int64_t holders =
      plus.hpz_partition_size > 1 && plus.hpz_partition_size < ranks ? plus.hpz_partition_size : 0;
  int64_t persistent = 0, copy = 0;
  for (size_t p = 0; p < layout.params().size(); ++p) {
    const int64_t numel = layout.params()[p].numel;
    if (numel < stage3.param_persistence_threshold &&
        persistent + numel <= stage3.model_persistence_threshold) {
      persistent += numel;
    } else if (holders > 0) {
      const int64_t part = layout.part_numel(p);
      copy += ranks / holders *
              (plus.quantized_weights ? ops::coded_bytes(zero::kWeightCode, part) : part * element);
    }
  }
  return persistent * element + copy;
}

}  // namespace

zero::StateBytes state_bytes(const DeepspeedConfig& config, const partition::Layout& layout) {
  const zero::StateTable table = zero::state_table(config.zero);
  const auto model = config.model_dtype();
  const auto elements = [&](const zero::Placement& state) {
    return state.sharded ? layout.shard_numel() : layout.padded_numel();
  };
  const int64_t optimized = elements(table.optimizer);
  const int64_t kept = elements(table.parameter);
  const int64_t stored_parameters = table.parameter.home == zero::Home::kNvme
                                        ? std::max<int64_t>(0, kept - config.zero.offload_param.max_in_cpu)
                                        : 0;
  const int64_t beside = table.parameter.sharded ? bytes_beside_parts(config, layout) : 0;
  zero::StateBytes bytes{
      .parameters = (kept - stored_parameters) * bytes_of(model) + beside,
      .gradients = elements(table.gradient) * bytes_of(config.engine.grad_accum_dtype.value_or(model))};
  const bool has_masters = config.master_dtype() != model;
  const int64_t each = moment_bytes(config) + (has_masters ? bytes_of(config.master_dtype()) : 0);
  const auto& offload = config.zero.offload_optimizer;
  const bool to_disk = table.optimizer.home == zero::Home::kNvme;
  const int64_t swapped = to_disk ? optimized - zero::resident_elements(offload, optimized) : 0;
  const int64_t tiles = 1 + offload.pipeline_read + offload.pipeline_write;
  const int64_t in_tiles = std::min(swapped, tiles * std::min(swapped, zero::tile_elements(config.zero)));
  bytes.optimizer = (optimized - swapped + in_tiles) * each;
  // What is stored of parameters that are their own masters has a copy beside states that are stored, too:
  // either are the last ones.
  const int64_t masters = has_masters ? 0 : std::min(stored_parameters, swapped) * bytes_of(model);
  bytes.on_disk = swapped * each + stored_parameters * bytes_of(model) + masters;
  return bytes;
}

models::ActivationSetting activation_setting(const DeepspeedConfig& config, int64_t seq_length,
                                             bool recomputed) {
  const int64_t bytes = bytes_of(config.model_dtype());
  return {.batch = config.engine.train_micro_batch_size_per_gpu,
          .length = seq_length,
          .stream_bytes = bytes,
          .product_bytes = config.torch_autocast.cast_type() ? 2 : bytes,
          .widened = config.model_dtype() == config::DataType::kBf16 && !base::cpu_features().fast_bf16,
          .recomputed = recomputed,
          .head_gradient_in_place =
              config.model_dtype() == config::DataType::kFp32 && !config.torch_autocast.cast_type()};
}

std::string plan_text(const DeepspeedConfig& config, const RunPlan& plan) {
  const zero::StateTable table = zero::state_table(config.zero);
  const int64_t mics = config.zero.plus_plus.mics_shard_size;
  const int parts = mics > 0 ? static_cast<int>(std::min<int64_t>(mics, plan.world_size)) : plan.world_size;
  const auto layout = table.parameter.sharded
                          ? partition::Layout::per_parameter(plan.parameters, parts)
                          : partition::Layout::concatenated(plan.parameters, plan.world_size);
  const auto& engine = config.engine;
  const auto buckets = zero::plan_buckets(layout, config.zero.reduce_bucket_size);
  int64_t largest = 0;
  for (const auto& bucket : buckets) largest = std::max(largest, bucket.numel);
  const zero::StateBytes bytes = state_bytes(config, layout);
  const auto parameters = static_cast<double>(bytes.parameters),
             gradients = static_cast<double>(bytes.gradients),
             optimizer = static_cast<double>(bytes.optimizer);

  std::string out = "dry run: nothing is trained and nothing is written\n";
  out += fmt::format("  model       {}, {} parameters in {} tensors, {}\n", plan.model_type,
                     grouped(layout.numel()), plan.parameters.size(), config.precision_text());
  out += fmt::format("  ranks       {}, ZeRO stage {}: {}\n", plan.world_size, config.zero.stage,
                     partition_text(table, layout));
  out += fmt::format(
      "  batch       {} samples of {} tokens: {} a rank and micro-batch, {} accumulated, {} rank{}\n",
      engine.train_batch_size, plan.seq_length, engine.train_micro_batch_size_per_gpu,
      engine.gradient_accumulation_steps, plan.world_size, plan.world_size == 1 ? "" : "s");
  out += fmt::format("  steps       {}; {} samples, {} steps an epoch\n", grouped(plan.steps),
                     grouped(plan.samples), grouped(plan.steps_per_epoch));
  out += fmt::format("  reduction   {} bucket{}, the largest of {} elements\n", buckets.size(),
                     buckets.size() == 1 ? "" : "s", grouped(largest));
  out += fmt::format(
      "  memory      {} a rank: parameters {}, gradients {}, optimizer {}, activations about {}\n",
      size_text(parameters + gradients + optimizer + plan.activation_bytes), size_text(parameters),
      size_text(gradients), size_text(optimizer), size_text(plan.activation_bytes));
  if (bytes.on_disk > 0)
    out += fmt::format("  disk        {} of model states a rank\n",
                       size_text(static_cast<double>(bytes.on_disk)));
  return out;
}

}  // namespace deepspeed::engine
