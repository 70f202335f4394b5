// Gathers the parameters that a Block needs before its forward and backward, and releases them after, ahead
// of time where the order is known: the first step is watched, later ones follow the plan made of it
// (fetch_plan.h) for as long as they take the same way. Mirrors DeepSpeed's
// runtime/zero/partitioned_param_coordinator.py.
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "deepspeed/nn/block.h"
#include "deepspeed/zero/call_agreement.h"
#include "deepspeed/zero/config.h"
#include "deepspeed/zero/fetch_plan.h"
#include "deepspeed/zero/parameter_shards.h"

namespace deepspeed::zero {

/// A Block needs the parameters of its module and of its children that are no Blocks, and those it says it
/// uses. What no Block holds is needed from begin_pass() to end_pass().
class ParameterFetcher {
 public:
  /// Observes the Blocks of `model` until it is destroyed. `shards` hold all its sharded parameters and
  /// outlive it. Collective over `group`.
  ParameterFetcher(torch::nn::Module& model, std::vector<ParameterShards*> shards, const Stage3Config& config,
                   comm::Group& group);
  ~ParameterFetcher();
  ParameterFetcher(const ParameterFetcher&) = delete;
  ParameterFetcher& operator=(const ParameterFetcher&) = delete;

  /// One forward, of a micro-batch that is trained on (whose order is remembered) or not.
  void begin_pass(bool trains);
  /// After the last Block of forward and, in training, of backward: lets go of everything. Collective.
  void end_pass();

  /// For a collective of someone else's that must not fall between different gathers: all ranks agree on it
  /// first. `bucket` counts gradients' reductions.
  void agree_on_reduction(size_t bucket);

  /// Gathers one parameter, as it is, for as long as it is held; for code that runs outside any Block.
  /// Collective.
  void hold(const at::Tensor& parameter);
  void let_go(const at::Tensor& parameter);
  /// Where the parameter's parts are kept, persistent or not, and its number there; nothing for one that is
  /// not sharded.
  std::optional<std::pair<ParameterShards*, size_t>> find(const at::Tensor& parameter) const;

  /// Elements that were gathered at once at most, of those that are not persistent.
  int64_t most_live() const { return most_live_; }
  /// How many passes followed the plan to their end, and how many left it on their way.
  int64_t passes_planned() const { return passes_planned_; }
  int64_t passes_replanned() const { return passes_replanned_; }

 private:
  class Observer;
  struct Parameter {
    ParameterShards* shards;
    size_t index;
    int64_t numel;
    int held = 0;
  };

  void number_parameters(const std::vector<ParameterShards*>& shards);
  void make_units(torch::nn::Module& model);
  size_t add_unit(std::string name, const std::vector<at::Tensor>& tensors);
  void on_event(const FetchEvent& event);
  FetchStep next_step(const FetchEvent& event);
  FetchStep on_demand(const FetchEvent& event) const;
  void carry_out(const FetchStep& step, const FetchEvent& event);
  void start(size_t param, bool exact = false);
  void release(size_t param);
  void replan();
  void end_round();
  std::string describe(int64_t call) const;

  Stage3Config config_;
  FetchLimits limits_;
  std::vector<ParameterShards*> shards_;
  std::vector<Parameter> parameters_;                  // all that are not persistent
  std::vector<int64_t> numel_;                         // of the same
  std::unordered_map<const void*, size_t> number_of_;  // by tensor
  std::unordered_map<const void*, std::pair<ParameterShards*, size_t>> place_of_;  // persistent ones, too
  FetchUnits units_;
  std::vector<std::string> unit_names_;
  std::optional<size_t> rest_;  // the unit of what no Block holds
  std::vector<std::pair<nn::Block*, std::shared_ptr<Observer>>> observers_;
  CallAgreement agreement_;

  std::vector<FetchEvent> planned_, seen_;  // of the pass that was planned, and of this one
  std::vector<FetchStep> plan_;
  bool in_pass_ = false, trains_ = false, trained_last_ = false, follows_ = false;
  int64_t live_ = 0, most_live_ = 0, passes_planned_ = 0, passes_replanned_ = 0;
};

/// Whole parameters for code outside any Block, while it lives. Collective: every rank makes and destroys it
/// with the same parameters, outside forward and backward. With `modifier`, what that rank wrote to them
/// becomes everyone's. As DeepSpeed's zero.GatheredParameters.
class GatheredParameters {
 public:
  GatheredParameters(ParameterFetcher& fetcher, std::vector<at::Tensor> parameters,
                     std::optional<int> modifier, comm::Group& group);
  ~GatheredParameters();
  GatheredParameters(const GatheredParameters&) = delete;
  GatheredParameters& operator=(const GatheredParameters&) = delete;
  /// What the destructor does, where an error can be seen.
  void close();

 private:
  ParameterFetcher& fetcher_;
  std::vector<at::Tensor> parameters_;
  std::optional<int> modifier_;
  comm::Group& group_;
  bool open_ = true;
};

}  // namespace deepspeed::zero
