// A model's tensors as the engine keeps them: the states of every parameter group, what is not trained, and,
// where parameters are sharded, who gathers them.
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <optional>
#include <vector>

#include "deepspeed/comm/group.h"
#include "deepspeed/engine/config.h"
#include "deepspeed/nn/materializer.h"
#include "deepspeed/optim/optimizer.h"
#include "deepspeed/zero/group_states.h"
#include "deepspeed/zero/parameter_fetcher.h"

namespace deepspeed::engine {

/// Trainable parameters with hyperparameters of their own; what is absent comes from the configuration.
struct ParameterGroup {
  std::vector<at::Tensor> parameters;
  std::optional<double> lr, weight_decay;
};

struct ModelStatesParts {
  torch::nn::Module& model;
  const DeepspeedConfig& config;
  comm::GroupPtr group;
  const std::vector<ParameterGroup>& groups;  // empty: one group of all trainable parameters
  const nn::ParameterSource* values;          // of parameters without memory; null: all have theirs
  bool same_on_all_ranks;                     // no broadcast of parameters and buffers from rank 0
};

class ModelStates {
 public:
  /// Brings parameters and buffers into their formats, gives memory to those that have none (under stage 3
  /// to this rank's parts alone), makes all ranks agree and moves the parameters into their states.
  /// Collective.
  explicit ModelStates(const ModelStatesParts& parts);

  /// A parameter group's states; several of one group where its gradients travel in several formats.
  const std::vector<std::unique_ptr<zero::GroupStates>>& all() const { return states_; }
  const zero::ZeroGroups& groups() const { return groups_; }
  const zero::StateTable& table() const { return states_.front()->table(); }
  /// Where the optimizer has the pieces of all()[i]: a group, and the first piece within it.
  struct OptimizerPlace {
    size_t group, first_piece;
  };
  const OptimizerPlace& place(size_t i) const { return places_[i]; }
  /// Which of all() has a piece of the optimizer's, and where in its owned().
  std::pair<zero::GroupStates*, size_t> owner(size_t group, size_t piece) const;
  /// Where a trained parameter is: all()[states], and its number in there. Nothing for one that is not
  /// trained; Error for a tensor that is no parameter of the model.
  struct ParameterPlace {
    size_t states, param;
  };
  std::optional<ParameterPlace> find(const at::Tensor& parameter) const;
  /// Every group's pieces with its hyperparameters.
  std::vector<optim::ParamGroup> optimizer_groups() const;

  /// Parameters that are not trained, and buffers: whole on every rank.
  const std::vector<zero::NamedParameter>& whole() const { return whole_; }
  /// Parameters that are not trained and are sharded; null where none is.
  zero::ParameterShards* frozen() const { return frozen_.get(); }
  /// Adds what this rank's parameters, gradients and master copies in memory take, buffers among parameters.
  void add_bytes(zero::StateBytes& bytes) const;
  /// Gathers nothing where parameters are not sharded.
  zero::ParameterFetcher& fetcher() const { return *fetcher_; }

 private:
  struct Members;

  void cast();
  void give_memory();
  void place();
  void agree();
  Members sort_tensors();
  void add_group(std::vector<zero::NamedParameter> members, size_t group);
  void add_groups(Members members);
  void shard_frozen(std::vector<zero::NamedParameter> parameters);
  zero::ParameterShards::Fill fill_of(const std::vector<zero::NamedParameter>& parameters) const;
  // Parameters whose gradients travel alike, and their configuration.
  struct Wire {
    std::vector<zero::NamedParameter> members;
    zero::ZeroConfig zero;
  };
  std::vector<Wire> by_wire(std::vector<zero::NamedParameter> members) const;
  std::vector<Wire> by_format(std::vector<zero::NamedParameter> members) const;

  ModelStatesParts parts_;
  zero::ZeroGroups groups_;
  std::vector<nn::ParameterSpec> specs_;  // while parameters without memory are filled
  std::vector<std::unique_ptr<zero::GroupStates>> states_;
  std::vector<OptimizerPlace> places_;
  std::vector<zero::NamedParameter> whole_;
  std::unique_ptr<zero::ParameterShards> frozen_;
  std::unique_ptr<zero::ParameterFetcher> fetcher_;
};

}  // namespace deepspeed::engine
