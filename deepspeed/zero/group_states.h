// The model states of one parameter group under a state table: flat parameters, gradients, and the pieces
// that this rank's optimizer updates.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "deepspeed/comm/group.h"
#include "deepspeed/optim/optimizer.h"
#include "deepspeed/partition/layout.h"
#include "deepspeed/zero/gradient_reducer.h"
#include "deepspeed/zero/state_table.h"

namespace deepspeed::zero {

/// Number formats of a group's states beside its parameters'.
struct StateFormats {
  at::ScalarType gradients = at::kFloat;  // that they are accumulated in
  at::ScalarType masters = at::kFloat;    // that the optimizer updates: fp32, or the parameters' own
};

struct NamedParameter {
  std::string name;
  at::Tensor tensor;
};

class GroupStates {
 public:
  /// Moves the parameters (materialized, one dtype, trainable) into one flat buffer of which they become
  /// views, keeping their identity, and makes master pieces where those have another format.
  GroupStates(std::vector<NamedParameter> parameters, const ZeroConfig& config, comm::GroupPtr group,
              StateFormats formats);

  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  const partition::Layout& layout() const { return layout_; }
  const StateTable& table() const { return table_; }
  GradientReducer& gradients() { return gradients_; }

  /// What this rank's optimizer updates, in shard order: one piece a parameter it owns (part of). Views stay
  /// valid.
  std::vector<optim::Piece> pieces() const;
  /// The same as places within parameters: pieces()[i] covers owned()[i].
  const std::vector<partition::Piece>& owned() const { return owned_; }

  /// After the optimizer stepped: every rank gets every parameter's new value. Collective.
  void publish();
  /// Writes the 16-bit parameters from the master pieces (after a load), without communication; nothing to do
  /// in fp32.
  void round_masters();
  /// The opposite: master pieces take the parameters' values (a load of module weights alone).
  void adopt_parameters();
  /// Everyone takes rank 0's parameters. Collective.
  void broadcast_parameters();

 private:
  void flatten();

  std::vector<NamedParameter> parameters_;
  ZeroConfig config_;
  StateTable table_;
  comm::GroupPtr group_;
  partition::Layout layout_;  // over the group: who owns which gradients
  std::vector<partition::Piece> owned_;
  int64_t first_ = 0;  // flat offset of shard_offset 0 of owned_
  at::Tensor flat_;    // [padded_numel], the parameters' dtype
  at::Tensor master_;  // as long as what the optimizer owns; in the parameters' own format a view of flat_
  GradientReducer gradients_;
};

}  // namespace deepspeed::zero
