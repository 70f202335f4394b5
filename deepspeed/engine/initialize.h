// deepspeed::initialize: from a model and a configuration to a running engine (contract 2.1).
#pragma once

#include <memory>
#include <string>

#include "deepspeed/data/loader.h"
#include "deepspeed/engine/auto_values.h"
#include "deepspeed/engine/engine.h"

namespace deepspeed::engine {

struct InitializeOptions {
  std::shared_ptr<torch::nn::Module> model;
  /// Path of a configuration file, its text, or that in base64.
  std::string config;
  /// What "auto" in it is resolved from.
  AutoFacts auto_facts;
  /// The data-parallel group; null: the world that the launcher's environment describes (one rank without
  /// it).
  comm::GroupPtr group;
  std::vector<ParameterGroup> parameter_groups;
  optim::OptimizerFactory optimizer;
  SchedulerFactory lr_scheduler;
  std::shared_ptr<const data::Dataset> training_data;
  bool shuffle = true;
  uint64_t seed = 1;
  /// Threads that call training_data's get() ahead of its use; 0: the loader's next() does.
  int data_workers = 2;
  /// Dropout's random state, the one that the model was built with.
  std::shared_ptr<accel::Rng> rng;
  /// Values of parameters that have no memory yet, the same on all ranks; see EngineParts.
  std::shared_ptr<const nn::ParameterSource> values;
  bool same_on_all_ranks = false;
  /// Where rank 0's progress and timing lines go; empty: the log and standard error.
  PrintLine print;
};

/// What initialize gives. optimizer and lr_scheduler belong to the engine; lr_scheduler and loader may be
/// null.
struct Initialized {
  std::unique_ptr<Engine> engine;
  optim::Optimizer* optimizer = nullptr;
  std::unique_ptr<data::Loader> loader;
  optim::LrScheduler* lr_scheduler = nullptr;
};

/// Collective over the group. Parameters and buffers are broadcast from rank 0 unless same_on_all_ranks.
Initialized initialize(InitializeOptions options);

}  // namespace deepspeed::engine

namespace deepspeed {
using engine::initialize;
using engine::InitializeOptions;
}  // namespace deepspeed
