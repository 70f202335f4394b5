#include "deepspeed/engine/schema.h"

#include <algorithm>

#include "deepspeed/aio/schema.h"
#include "deepspeed/base/error.h"
#include "deepspeed/checkpoint/schema.h"
#include "deepspeed/config/not_yet.h"
#include "deepspeed/engine/name_pattern.h"
#include "deepspeed/observe/schema.h"
#include "deepspeed/optim/schema.h"
#include "deepspeed/recompute/schema.h"
#include "deepspeed/zero/schema.h"

namespace deepspeed::engine {
namespace {

using config::Json;
using config::Node;
using config::Rules;
using config::Warnings;

config::Schema<GivenBatch> batch_schema() {
  config::Schema<GivenBatch> s("");
  s.field("train_batch_size", &GivenBatch::train)
      .above(0)
      .derived("the other batch keys and the number of ranks")
      .doc("Samples of one optimizer step over all ranks. Two of the three batch keys give the third.");
  s.field("train_micro_batch_size_per_gpu", &GivenBatch::micro)
      .above(0)
      .derived("the other batch keys and the number of ranks")
      .doc("Samples of one forward and backward on one rank.");
  s.field("gradient_accumulation_steps", &GivenBatch::accumulation)
      .above(0)
      .derived("the other batch keys and the number of ranks")
      .doc("Micro-batches of one optimizer step.");
  return s;
}

config::Schema<EngineConfig> engine_schema() {
  config::Schema<EngineConfig> s("");
  s.field("gradient_clipping", &EngineConfig::gradient_clipping)
      .at_least(0)
      .doc("Largest global L2 norm of the gradients; 0: no clipping.");
  s.field("managed_gradient_accumulation", &EngineConfig::managed_gradient_accumulation)
      .doc("false: every step() updates, whatever gradient_accumulation_steps says.");
  s.field("steps_per_print", &EngineConfig::steps_per_print)
      .above(0)
      .doc("Rank 0 prints a line on progress every so many steps.");
  s.field("dataloader_drop_last", &EngineConfig::dataloader_drop_last)
      .doc(
          "Leave out what does not fill an epoch's last micro-batch; false: it is filled from the next "
          "epoch.");
  s.field("dump_state", &EngineConfig::dump_state).doc("Rank 0 prints the engine's state once it is ready.");
  s.field("zero_allow_untested_optimizer", &EngineConfig::zero_allow_untested_optimizer)
      .doc("Let ZeRO run with an optimizer of the program's own that it does not know.");
  s.field("zero_force_ds_cpu_optimizer", &EngineConfig::zero_force_ds_cpu_optimizer)
      .doc("With optimizer offload: refuse an optimizer of the program's own.");
  s.custom("log_level", "debug | info | warning | error | critical | null", nullptr,
           [](const Node& node, EngineConfig& engine, const Rules&, Warnings&) {
             static const std::vector<std::string> kLevels{"debug", "info", "warning", "error", "critical"};
             engine.log_level = kLevels[config::read_choice(node, kLevels)];
           })
      .doc("Least level of log lines shown.")
      .nullable = true;
  return s;
}

void read_kept_buffers(const Node& node, EngineConfig& engine, const Rules&, Warnings&) {
  if (node.json() == "auto") return;
  const bool texts = node.json().is_array() && std::all_of(node.json().begin(), node.json().end(),
                                                           [](const Json& name) { return name.is_string(); });
  if (!texts) config::fail_value(node, "\"auto\" or a list of name patterns");
  engine.keep_in_fp32_modules = node.json().get<std::vector<std::string>>();
  try {
    name_pattern(*engine.keep_in_fp32_modules);
  } catch (const base::Error& error) {
    base::fail("{}: {}", node.describe(), error.what());
  }
}

config::Schema<EngineConfig> data_types_schema() {
  config::Schema<EngineConfig> s("Number formats beside the model's own.");
  s.choice<config::DataType>("grad_accum_dtype", &EngineConfig::grad_accum_dtype, config::data_type_names())
      .doc("Format that gradients are summed in over micro-batches; null: the model's.");
  s.choice<config::DataType>("param_dtype", &EngineConfig::param_dtype, config::data_type_names())
      .doc("Format of parameters; must be that of the precision that is enabled.");
  s.choice<config::DataType>("buffer_dtype", &EngineConfig::buffer_dtype, config::data_type_names())
      .doc("With fp16 or bf16: format that floating-point buffers are cast to; null: they stay as loaded.");
  config::Field& kept =
      s.custom("keep_in_fp32_modules", "\"auto\" | list of texts", "auto", read_kept_buffers)
          .doc(
              "With fp16 or bf16: buffers that are kept in fp32, by patterns (* is any text) found "
              "anywhere in their full names. \"auto\": those the model names, which none of ours "
              "does. Parameters follow the training precision whatever it says.");
  kept.auto_is_value = true;
  kept.show = [](const void* target) {
    const auto& patterns = static_cast<const EngineConfig*>(target)->keep_in_fp32_modules;
    return patterns ? Json(*patterns) : Json("auto");
  };
  return s;
}

// Moves the rows of a module's flat table into the root, writing through `member`.
template <class S>
void inline_fields(config::Schema<ParseTarget>& root, const config::Schema<S>& part,
                   S& (*member)(ParseTarget&)) {
  for (config::Field field : part.table()->fields) {
    field.read = [read = field.read, member](const Node& node, void* target, const Rules& rules,
                                             Warnings& warnings) {
      read(node, &member(*static_cast<ParseTarget*>(target)), rules, warnings);
    };
    if (field.show)
      field.show = [show = field.show, member](const void* target) {
        return show(&member(*static_cast<ParseTarget*>(const_cast<void*>(target))));
      };
    if (field.place)
      field.place = [place = field.place, member](const void* target) {
        return place(&member(*static_cast<ParseTarget*>(const_cast<void*>(target))));
      };
    root.add(std::move(field));
  }
}

template <class S>
config::Field& add_block(config::Schema<ParseTarget>& root, const char* key, const config::Schema<S>& part,
                         S& (*member)(ParseTarget&)) {
  config::Field field(key, "object", Json::object());
  field.table = part.table();
  field.read = [part, member](const Node& node, void* target, const Rules&, Warnings& warnings) {
    part.table()->parse(node, &member(*static_cast<ParseTarget*>(target)), warnings);
  };
  field.place = [member](const void* target) -> const void* {
    return &member(*static_cast<ParseTarget*>(const_cast<void*>(target)));
  };
  return root.add(std::move(field));
}

// Accepted for old files: these say nothing to a native program, or nothing any more.
void add_keys_without_effect(config::Schema<ParseTarget>& s) {
  auto flag = [&s](const char* key, const char* doc) {
    s.custom(key, "bool", false, [](const Node& node, ParseTarget&, const Rules& rules, Warnings&) {
       config::read_bool(node, rules);
     }).doc(doc);
  };
  flag("disable_python_gc", "Accepted; there is no Python here.");
  flag("disable_allgather", "Accepted; has no effect in DeepSpeed either.");
  s.custom(
       "allgather_size", "int", 500'000'000,
       [](const Node& node, ParseTarget&, const Rules& rules, Warnings&) { config::read_int(node, rules); })
      .doc("With the boolean form of zero_optimization: its allgather_bucket_size. Otherwise no effect.");
  s.custom("vocabulary_size", "int | null", nullptr,
           [](const Node& node, ParseTarget&, const Rules& rules, Warnings& warnings) {
             if (config::read_int(node, rules) % 8 != 0)
               warnings.push_back(node.describe() + ": a multiple of 8 is faster");
           })
      .doc("Warns when it is no multiple of 8.")
      .nullable = true;
  s.add(config::deprecated_field(
      "fp32_allreduce", "bool", "communication_data_type", "true: communication_data_type fp32.",
      [](const Json& value) { return value == true ? std::optional<Json>("fp32") : std::nullopt; }));
}

}  // namespace

config::Schema<ParseTarget> schema(const AutoFacts& facts) {
  config::Schema<ParseTarget> s("The keys at the top of the file.");
  using T = ParseTarget;
  inline_fields<GivenBatch>(s, batch_schema(), [](T& t) -> GivenBatch& { return t.batch; });
  inline_fields<EngineConfig>(s, engine_schema(), [](T& t) -> EngineConfig& { return t.config.engine; });
  inline_fields<zero::ReductionConfig>(
      s, zero::reduction_schema(), [](T& t) -> zero::ReductionConfig& { return t.config.zero.reduction; });
  add_keys_without_effect(s);
  add_block<optim::OptimizerConfig>(s, "optimizer", optim::optimizer_schema(),
                                    [](T& t) -> optim::OptimizerConfig& { return t.config.optimizer; });
  add_block<optim::SchedulerConfig>(s, "scheduler", optim::scheduler_schema(),
                                    [](T& t) -> optim::SchedulerConfig& { return t.config.scheduler; });
  add_block<optim::Fp16Config>(s, "fp16", optim::fp16_schema(),
                               [](T& t) -> optim::Fp16Config& { return t.config.fp16; });
  add_block<optim::Bf16Config>(s, "bf16", optim::bf16_schema(), [](T& t) -> optim::Bf16Config& {
    return t.config.bf16;
  }).alias("bfloat16");
  add_block<optim::AutocastConfig>(s, "torch_autocast", optim::autocast_schema(),
                                   [](T& t) -> optim::AutocastConfig& { return t.config.torch_autocast; });
  add_block<zero::ZeroConfig>(s, "zero_optimization", zero::schema(), [](T& t) -> zero::ZeroConfig& {
    return t.config.zero;
  }).rewrite = zero::rewrite_bool_form;
  add_block<EngineConfig>(s, "data_types", data_types_schema(),
                          [](T& t) -> EngineConfig& { return t.config.engine; });
  add_block<recompute::RecomputeConfig>(
      s, "activation_checkpointing", recompute::schema(),
      [](T& t) -> recompute::RecomputeConfig& { return t.config.activation_checkpointing; });
  add_block<checkpoint::CheckpointConfig>(
      s, "checkpoint", checkpoint::schema(),
      [](T& t) -> checkpoint::CheckpointConfig& { return t.config.checkpoint; });
  add_block<aio::AioConfig>(s, "aio", aio::schema(), [](T& t) -> aio::AioConfig& { return t.config.aio; });
  inline_fields<observe::ObserveConfig>(s, observe::schema(),
                                        [](T& t) -> observe::ObserveConfig& { return t.config.observe; });
  config::add_not_yet_rows(*s.table(), config::not_yet_rows());
  add_auto_values(*s.table(), facts);
  return s;
}

}  // namespace deepspeed::engine
