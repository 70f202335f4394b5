#include "deepspeed/zero/schema.h"

#include "deepspeed/base/error.h"

namespace deepspeed::zero {
namespace {

using config::Json;
using config::Node;
using config::Warnings;

void add_gradient_fields(config::Schema<ZeroConfig>& s) {
  s.field("contiguous_gradients", &ZeroConfig::contiguous_gradients)
      .doc("Accepted; gradients always lie in flat buckets.");
  s.field("reduce_scatter", &ZeroConfig::reduce_scatter).doc("Reduce to the owner; false: all-reduce.");
  s.field("reduce_bucket_size", &ZeroConfig::reduce_bucket_size)
      .above(0)
      .no_bool()
      .doc("Elements of one gradient reduction.");
  s.field("use_multi_rank_bucket_allreduce", &ZeroConfig::use_multi_rank_bucket_allreduce)
      .doc("Accepted; a bucket of several owners is always one collective.");
  s.field("overlap_comm", &ZeroConfig::overlap_comm)
      .doc("Reduce while backward runs; null: yes. false waits for each reduction.");
  s.field("round_robin_gradients", &ZeroConfig::round_robin_gradients).doc("Accepted; changes nothing.");
  s.field("ignore_unused_parameters", &ZeroConfig::ignore_unused_parameters)
      .doc("Stage 2: false makes a parameter without gradient an error.");
  s.field("compute_grad_norm", &ZeroConfig::compute_grad_norm)
      .doc("false (stage 1 or 2, gradient_clipping 0): the gradient norm is never computed.");
}

void add_parameter_fields(config::Schema<ZeroConfig>& s) {
  s.field("allgather_partitions", &ZeroConfig::allgather_partitions)
      .doc("All-gather updated parameters; false: broadcast from each owner.");
  s.field("allgather_bucket_size", &ZeroConfig::allgather_bucket_size)
      .at_least(0)
      .no_bool()
      .doc("Elements of one all-gather; even.");
  s.field("parameter_alignment", &ZeroConfig::parameter_alignment).doc("Accepted; no result depends on it.");
  s.field("load_from_fp32_weights", &ZeroConfig::load_from_fp32_weights)
      .doc("On load, restore master weights from their fp32 copy rather than from the model's weights.");
}

void nullable(config::Field& field) {
  field.type = "object or null";
  field.initial = nullptr;
  field.nullable = true;
}

void add_offload_fields(config::Schema<ZeroConfig>& s) {
  s.field("sub_group_size", &ZeroConfig::sub_group_size)
      .at_least(0)
      .no_bool()
      .doc("Optimizer states on a disk are stepped in tiles of at most so many elements.");
  nullable(s.object("offload_optimizer", &ZeroConfig::offload_optimizer, offload_optimizer_schema())
               .doc("Where optimizer states live."));
  nullable(s.object("offload_param", &ZeroConfig::offload_param, offload_param_schema())
               .doc("Where sharded parameters live. Stage 3."));
}

std::optional<Json> when_true(const Json& value, Json replacement) {
  bool on = value.is_boolean() ? value.get<bool>() : value == 1 || value == "true";
  return on ? std::optional<Json>(std::move(replacement)) : std::nullopt;
}

void add_deprecated_fields(config::Schema<ZeroConfig>& s) {
  Json cpu{{"device", "cpu"}};
  s.add(config::deprecated_field("cpu_offload", "bool", "offload_optimizer",
                                 "true: offload_optimizer {device: cpu}.",
                                 [cpu](const Json& v) { return when_true(v, cpu); }));
  s.add(config::deprecated_field("cpu_offload_param", "bool", "offload_param",
                                 "true: offload_param {device: cpu}.",
                                 [cpu](const Json& v) { return when_true(v, cpu); }));
  s.add(config::deprecated_field("cpu_offload_params", "bool", "offload_param",
                                 "As cpu_offload_param, in the first releases of stage 3.",
                                 [cpu](const Json& v) { return when_true(v, cpu); }));
  s.add(config::deprecated_field("cpu_offload_use_pin_memory", "bool", "", "No effect."));
  s.add(config::deprecated_field("max_elements_per_comm", "int", "reduce_bucket_size",
                                 "Stage 1's bucket size of 2020."));
  s.add(config::deprecated_field("stage3_gather_fp16_weights_on_model_save", "bool",
                                 "stage3_gather_16bit_weights_on_model_save", "Its name before 2022."));
}

void check_offload(const Node& block, const ZeroConfig& zero) {
  const OffloadOptimizerConfig& offload = zero.offload_optimizer;
  const auto key = [&](const char* name) { return block.find("offload_optimizer")->find(name)->describe(); };
  if (zero.stage == 3 && zero.offload_param.device == Home::kNvme) {
    const auto device = block.find("offload_param")->find("device")->describe();
    DS_CHECK(zero.offload_param.nvme_path && !zero.offload_param.nvme_path->empty(),
             "{} needs \"nvme_path\": a folder on the disk", device);
    DS_CHECK(zero.sub_group_size > 0, "{} needs to be > 0 for parameters on NVMe",
             block.find("sub_group_size")->describe());
  }
  if (offload.ratio < 1 && zero.stage != 3)
    base::fail("{} needs zero_optimization.stage 3; the stage is {}", key("ratio"), zero.stage);
  if (!offload.enabled()) return;
  DS_CHECK(zero.compute_grad_norm, "{} needs offload_optimizer.device none",
           block.find("compute_grad_norm")->describe());
  if (offload.device != Home::kNvme) return;
  DS_CHECK(offload.nvme_path && !offload.nvme_path->empty(), "{} needs \"nvme_path\": a folder on the disk",
           key("device"));
  DS_CHECK(zero.sub_group_size > 0, "{} needs to be > 0 for optimizer states on NVMe",
           block.find("sub_group_size")->describe());
  const int tiles = 1 + offload.pipeline_read + offload.pipeline_write;
  DS_CHECK(offload.buffer_count >= tiles, "{} needs to be at least {}: 1 and one more for either pipeline",
           key("buffer_count"), tiles);
}

// What DeepSpeed ignores at other stages.
void check_plus_plus(const Node& block, const ZeroConfig& zero) {
  const PlusPlusConfig& plus = zero.plus_plus;
  const auto needs = [&](const char* key, bool on, bool fulfilled, const std::string& what) {
    DS_CHECK(!on || fulfilled, "{} needs {}", block.find(key)->describe(), what);
  };
  const bool three = zero.stage == 3;
  const std::string stage = fmt::format("zero_optimization.stage 3; the stage is {}", zero.stage);
  const bool partition = plus.hpz_partition_size > 1, mics = plus.mics_shard_size > 0;
  needs("zero_hpz_partition_size", partition, three, stage);
  needs("zero_quantized_weights", plus.quantized_weights, three, stage);
  needs("zero_quantized_nontrainable_weights", plus.quantized_nontrainable_weights, three, stage);
  needs("zero_quantized_gradients", plus.quantized_gradients, three, stage);
  needs("mics_shard_size", mics, three, stage);
  needs("mics_hierarchical_params_gather", plus.mics_hierarchical_params_gather, mics,
        "zero_optimization.mics_shard_size");
  needs("zeropp_loco_param", plus.loco.has_value(), plus.quantized_gradients,
        "zero_optimization.zero_quantized_gradients");
  needs("zero_quantized_gradients", plus.quantized_gradients, zero.reduce_scatter,
        "zero_optimization.reduce_scatter");
  needs("mics_shard_size", mics, !partition && !plus.quantized_gradients,
        "zero_hpz_partition_size and zero_quantized_gradients off: the shard group takes their place");
}

void check(const Node& block, ZeroConfig& zero, Warnings&) {
  check_plus_plus(block, zero);
  if (zero.allgather_bucket_size % 2 != 0)
    config::fail_value(*block.find("allgather_bucket_size"), "a multiple of 2");
  DS_CHECK(zero.compute_grad_norm || zero.stage == 1 || zero.stage == 2,
           "{} needs zero_optimization.stage 1 or 2; the stage is {}",
           block.find("compute_grad_norm")->describe(), zero.stage);
  check_offload(block, zero);
}

}  // namespace

config::Schema<ReductionConfig> reduction_schema() {
  config::Schema<ReductionConfig> s("");
  s.field("prescale_gradients", &ReductionConfig::prescale_gradients)
      .doc("Divide gradients by the world size before they are summed over the ranks, not after.");
  s.field("gradient_predivide_factor", &ReductionConfig::gradient_predivide_factor)
      .above(0)
      .doc("Divide gradients by this before the sum, and by the rest of the world size after it.");
  s.choice<GradientOp>("gradient_allreduce_op", &ReductionConfig::gradient_allreduce_op,
                       {{"mean", GradientOp::kMean}, {"sum", GradientOp::kSum}})
      .doc("Average gradients over the ranks, or leave their sum.");
  s.choice<config::DataType>("communication_data_type", &ReductionConfig::communication_data_type,
                             {{"fp16", config::DataType::kFp16},
                              {"fp32", config::DataType::kFp32},
                              {"bf16", config::DataType::kBf16}})
      .doc("Format in which gradients travel; null: the one they are accumulated in.");
  return s;
}

config::Schema<ZeroConfig> schema() {
  config::Schema<ZeroConfig> s("How model states are sharded over the data-parallel ranks (ZeRO).");
  s.strict();
  s.field("stage", &ZeroConfig::stage)
      .range(0, 3)
      .doc("0: nothing is sharded; 1: optimizer states; 2: gradients too; 3: parameters too.");
  s.include(&ZeroConfig::stage3, stage3_schema());
  s.include(&ZeroConfig::plus_plus, plus_plus_schema());
  add_gradient_fields(s);
  add_parameter_fields(s);
  add_offload_fields(s);
  add_deprecated_fields(s);
  s.finish(check);
  return s;
}

std::optional<Json> rewrite_bool_form(const Node& block, const Node& root, Warnings& warnings) {
  if (!block.json().is_boolean()) return std::nullopt;
  warnings.push_back(block.describe() +
                     ": the boolean form is deprecated; write {\"stage\": 1} or {\"stage\": 0}");
  if (!block.json().get<bool>()) return Json{{"stage", 0}};
  auto size = root.find("allgather_size");
  return Json{{"stage", 1}, {"allgather_bucket_size", size ? size->json() : Json(500'000'000)}};
}

}  // namespace deepspeed::zero
