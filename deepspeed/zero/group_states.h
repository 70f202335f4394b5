// The model states of one parameter group under a state table: flat or sharded parameters, gradients, and the
// pieces that this rank's optimizer updates.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "deepspeed/comm/group.h"
#include "deepspeed/optim/optimizer.h"
#include "deepspeed/partition/layout.h"
#include "deepspeed/zero/gradient_reducer.h"
#include "deepspeed/zero/named_parameter.h"
#include "deepspeed/zero/parameter_shards.h"
#include "deepspeed/zero/state_table.h"
#include "deepspeed/zero/zero_groups.h"

namespace deepspeed::zero {

/// Number formats of a group's states beside its parameters'.
struct StateFormats {
  at::ScalarType gradients = at::kFloat;  // that they are accumulated in
  at::ScalarType masters = at::kFloat;    // that the optimizer updates: fp32, or the parameters' own
};

class GroupStates {
 public:
  /// Moves the parameters (one dtype, trainable) into one flat buffer of which they become views, or shards
  /// them, keeping their identity, and makes master pieces where those have another format. `fill` gives
  /// the values of sharded parameters; where it is empty the parameters hold them. Collective.
  GroupStates(std::vector<NamedParameter> parameters, const ZeroConfig& config, const ZeroGroups& groups,
              StateFormats formats, const ParameterShards::Fill& fill = {});

  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  const partition::Layout& layout() const { return layout_; }
  const StateTable& table() const { return table_; }
  GradientReducer& gradients() { return gradients_; }
  /// Where parameters are sharded; else null.
  ParameterShards* shards() { return shards_.get(); }

  /// What this rank's optimizer updates, in shard order: one piece a parameter it owns (part of). Views stay
  /// valid.
  std::vector<optim::Piece> pieces() const;
  /// The same as places within parameters: pieces()[i] covers owned()[i].
  const std::vector<partition::Piece>& owned() const { return owned_; }

  /// After the optimizer stepped: every rank gets every parameter's new value, or what of it it keeps.
  /// Collective.
  void publish();
  /// Where this rank keeps the parameters' values: runs of elements and the memory they lie in (all of them,
  /// or its shard). Who writes there calls publish_values() or adopt_parameters() thereafter.
  struct KeptRun {
    size_t param;
    int64_t begin;
    at::Tensor values;  // [count], the parameters' dtype
  };
  std::vector<KeptRun> kept_runs() const;
  /// kept_runs() were written on every rank: what is derived from them follows. Collective.
  void publish_values();
  /// Master pieces take the parameters' values (a load of module weights alone).
  void adopt_parameters();

 private:
  void flatten();
  void adopt_part(const partition::Piece& part);
  at::Tensor own_values() const;

  std::vector<NamedParameter> parameters_;
  ZeroConfig config_;
  StateTable table_;
  comm::GroupPtr group_;      // over which they are cut
  partition::Layout layout_;  // over the group: who owns which gradients
  std::vector<partition::Piece> owned_;
  int64_t first_ = 0;  // flat offset of shard_offset 0 of owned_
  std::unique_ptr<ParameterShards> shards_;
  at::Tensor flat_;    // [padded_numel], the parameters' dtype, or this rank's [shard_numel] of sharded ones
  at::Tensor master_;  // as long as what the optimizer owns; in the parameters' own format a view of flat_
  GradientReducer gradients_;
};

}  // namespace deepspeed::zero
