// What the engine tells about itself. What dump_state prints: the engine's attributes, under DeepSpeed's
// names where it has them.
#include <fmt/ranges.h>

#include "deepspeed/accel/dtype.h"
#include "deepspeed/engine/engine.h"
#include "deepspeed/observe/python_text.h"

namespace deepspeed::engine {
namespace {

std::string listed(const std::vector<double>& values) {
  std::vector<std::string> texts;
  for (const double value : values) texts.push_back(observe::python_float(value));
  return fmt::format("[{}]", fmt::join(texts, ", "));
}

int64_t elements(const std::vector<zero::NamedParameter>& parameters) {
  int64_t sum = 0;
  for (const auto& p : parameters) sum += p.tensor.numel();
  return sum;
}

std::string placed(const zero::Placement& placement) {
  const char* home = placement.home == zero::Home::kNvme  ? " on NVMe"
                     : placement.home == zero::Home::kCpu ? " on the CPU"
                                                          : "";
  return std::string(placement.sharded ? "sharded" : "whole") + home;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> Engine::attributes() const {
  const auto yes = [](bool value) { return std::string(value ? "True" : "False"); };
  const auto& zero = states_->table();
  const auto cast_to = config().torch_autocast.cast_type();
  std::vector<std::pair<std::string, std::string>> all = {
      {"dp_world_size", std::to_string(parts_.group->size())},
      {"global_rank", std::to_string(parts_.group->rank())},
      {"global_samples", std::to_string(global_samples_)},
      {"global_steps", std::to_string(global_steps_)},
      {"gradient_accumulation_steps", std::to_string(gradient_accumulation_steps())},
      {"gradient_clipping", observe::python_float(config().engine.gradient_clipping)},
      {"inside_no_sync_ctxt", yes(in_no_sync_)},
      {"loss_scale", observe::python_float(scaler_.scale())},
      {"loss_scale_is_dynamic", yes(scaler_.dynamic())},
      {"lr", listed(get_lr())},
      {"lr_scheduler", scheduler_ ? scheduler_->type() : "None"},
      {"managed_gradient_accumulation", yes(config().engine.managed_gradient_accumulation)},
      {"master_dtype", accel::short_name(accel::scalar_type(config().master_dtype()))},
      {"micro_steps", std::to_string(micro_steps_)},
      {"model_dtype", accel::short_name(accel::scalar_type(config().model_dtype()))},
      {"module", parts_.model->name()},
      {"optimizer", fmt::format("{}, {} groups, {} steps", optimizer_->type(), optimizer_->groups().size(),
                                optimizer_->step_count())},
      {"skipped_steps", std::to_string(skipped_steps_)},
      {"torch_autocast_dtype", cast_to ? accel::short_name(accel::scalar_type(*cast_to)) : "None"},
      {"train_batch_size", std::to_string(train_batch_size())},
      {"train_micro_batch_size_per_gpu", std::to_string(train_micro_batch_size_per_gpu())},
      {"training", yes(parts_.model->is_training())},
      {"zero_stage", std::to_string(config().zero.stage)},
      {"zero_states", fmt::format("parameters {}, gradients {}, optimizer {}", placed(zero.parameter),
                                  placed(zero.gradient), placed(zero.optimizer))},
  };
  int64_t trained = 0;
  for (const auto& states : states_->all()) trained += elements(states->parameters());
  all.emplace_back("trained_elements", std::to_string(trained));
  int64_t untrained = elements(states_->whole());
  if (states_->frozen() != nullptr) untrained += elements(states_->frozen()->parameters());
  all.emplace_back("untrained_elements", std::to_string(untrained));
  return all;
}

zero::StateBytes Engine::state_bytes() const {
  zero::StateBytes bytes;
  states_->add_bytes(bytes);
  home_->add_bytes(bytes);
  return bytes;
}

}  // namespace deepspeed::engine
