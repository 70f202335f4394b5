#include "deepspeed/engine/parse_config.h"

#include "deepspeed/base/error.h"
#include "deepspeed/config/markdown.h"
#include "deepspeed/config/not_yet.h"
#include "deepspeed/config/table_json.h"
#include "deepspeed/engine/schema.h"

namespace deepspeed::engine {
namespace {

std::optional<config::Node> find_path(const config::Node& root, std::initializer_list<const char*> keys) {
  std::optional<config::Node> node = root;
  for (const char* key : keys)
    if (node) node = node->find(key);
  return node;
}

// Checks that need the keys of several owners.
void check_together(const config::Node& root, const DeepspeedConfig& config) {
  if (config.fp16.enabled && config.bf16.enabled) {
    auto bf16 = root.find("bf16") ? root.find("bf16") : root.find("bfloat16");
    base::fail("fp16.enabled and bf16.enabled are both true ({}, {}): enable one of them",
               root.find("fp16")->where(), bf16->where());
  }
  if (!config.zero.compute_grad_norm && config.engine.gradient_clipping != 0)
    base::fail("{} needs \"gradient_clipping\": 0; it is {:g}{}",
               find_path(root, {"zero_optimization", "compute_grad_norm"})->describe(),
               config.engine.gradient_clipping, root.find("gradient_clipping") ? "" : " by default");
}

// 16-bit masters with fp32 moments exist under optimizer offload alone, and only for Adam, as in DeepSpeed's
// runtime/base_optimizer.py, _configure_master_weights.
void check_offloaded_masters(const config::Node& key, const DeepspeedConfig& config) {
  using optim::OptimizerType;
  const auto type = config.optimizer.type;
  const bool adam = !type || *type == OptimizerType::kAdam || *type == OptimizerType::kAdamW;
  if (!config.zero.offload_optimizer.enabled() || !adam)
    base::fail("{} needs zero_optimization.offload_optimizer and Adam", key.describe());
}

void check_fp16_masters(const config::Node& root, const DeepspeedConfig& config) {
  if (!config.fp16.fp16_master_weights_and_grads) return;
  const auto masters = *find_path(root, {"fp16", "fp16_master_weights_and_grads"});
  if (config.zero.stage == 0) base::fail("{} needs zero_optimization.stage 1, 2 or 3", masters.describe());
  if (config.fp16.enabled) check_offloaded_masters(masters, config);
}

void check_bf16_states(const config::Node& root, const DeepspeedConfig& config) {
  if (!config.bf16.bf16_master_weights_and_grads && !config.bf16.bf16_optimizer_states) return;
  const auto block = root.find("bf16") ? root.find("bf16") : root.find("bfloat16");
  const auto masters = block->find("bf16_master_weights_and_grads");
  if (!config.bf16.bf16_master_weights_and_grads)
    base::fail("{} needs bf16.bf16_master_weights_and_grads",
               block->find("bf16_optimizer_states")->describe());
  if (config.zero.stage == 0) base::fail("{} needs zero_optimization.stage 1, 2 or 3", masters->describe());
  if (!config.bf16.enabled) return;  // as DeepSpeed has it: idle
  if (!config.bf16.bf16_optimizer_states && !config.zero.offload_optimizer.enabled())
    base::fail("{} needs bf16.bf16_optimizer_states or zero_optimization.offload_optimizer",
               masters->describe());
  if (!config.bf16.bf16_optimizer_states || config.zero.offload_optimizer.enabled())
    check_offloaded_masters(*masters, config);
}

void check_param_dtype(const config::Node& root, const DeepspeedConfig& config) {
  if (config.engine.param_dtype.value_or(config.model_dtype()) != config.model_dtype())
    base::fail(
        "{} does not agree with the precision that is enabled; leave it out, or set fp16.enabled or "
        "bf16.enabled",
        find_path(root, {"data_types", "param_dtype"})->describe());
}

// What buffers are told only where the model is cast at all; DeepSpeed says nothing and does nothing.
void warn_of_idle_keys(const config::Node& root, DeepspeedConfig& config) {
  if (config.model_dtype() == config::DataType::kFp32) {
    for (const char* key : {"buffer_dtype", "keep_in_fp32_modules"}) {
      const auto node = find_path(root, {"data_types", key});
      if (node && !node->json().is_null() && node->json() != "auto")
        config.warnings.push_back(node->describe() + " has no effect without fp16 or bf16");
    }
  }
  if (config.zero.offload_param.device != zero::Home::kDevice && config.zero.stage < 3)
    config.warnings.push_back(
        "zero_optimization.offload_param has no effect below stage 3, where parameters are not sharded");
  if (config.torch_autocast.enabled && !config.torch_autocast.cast_type())
    config.warnings.push_back(find_path(root, {"torch_autocast", "dtype"})->describe() +
                              ": autocast to fp32 casts nothing");
}

// Autocast works on fp32 parameters; under a 16-bit model DeepSpeed would run it on 16-bit ones.
void check_autocast(const config::Node& root, const DeepspeedConfig& config) {
  if (!config.torch_autocast.enabled || config.model_dtype() == config::DataType::kFp32) return;
  base::fail("{} keeps parameters in fp32, {}.enabled makes them 16-bit: enable one of them",
             find_path(root, {"torch_autocast", "enabled"})->describe(),
             config.fp16.enabled ? "fp16" : "bf16");
}

void check_mesh(const config::Node& root, int world_size) {
  auto node = root.find("data_parallel_size");
  if (node && !node->json().is_null() && node->json() != world_size)
    base::fail("{} does not agree with the {} ranks that run; leave it out", node->describe(), world_size);
}

// Fills the whole target, its batch keys resolved, by the given table.
void parse_into(ParseTarget& target, const config::Table& table, const config::Document& document,
                int world_size) {
  config::Node root(document);
  DeepspeedConfig& out = target.config;
  table.parse(root, &target, out.warnings);
  check_together(root, out);
  check_bf16_states(root, out);
  check_fp16_masters(root, out);
  check_param_dtype(root, out);
  check_autocast(root, out);
  warn_of_idle_keys(root, out);
  check_mesh(root, world_size);
  try {
    const BatchSizes sizes = resolve_batch(target.batch, world_size);
    target.batch = {sizes.train, sizes.micro, sizes.accumulation};
    out.engine.train_batch_size = sizes.train;
    out.engine.train_micro_batch_size_per_gpu = sizes.micro;
    out.engine.gradient_accumulation_steps = sizes.accumulation;
  } catch (const base::Error& error) {
    base::fail("{}: {}", document.name, error.what());
  }
  out.raw = document.json;
}

}  // namespace

DeepspeedConfig parse_config(std::string_view source, int world_size, const AutoFacts& facts) {
  return parse_config(config::load(source), world_size, facts);
}

DeepspeedConfig parse_config(const config::Document& document, int world_size, const AutoFacts& facts) {
  ParseTarget target;
  parse_into(target, *schema(facts).table(), document, world_size);
  return std::move(target.config);
}

ConfigReport explain_config(const config::Document& document, int world_size, const AutoFacts& facts) {
  ParseTarget target;
  ConfigReport report{.table = schema(facts).table()};
  parse_into(target, *report.table, document, world_size);
  report.keys = config::explain(*report.table, document, &target);
  report.warnings = std::move(target.config.warnings);
  return report;
}

config::Json config_reference_json() { return config::to_json(*schema().table()); }

std::vector<std::string> config_keys() { return config::key_paths(*schema().table()); }

std::string config_reference_markdown() { return config::to_markdown(*schema().table()); }

}  // namespace deepspeed::engine
