// The model states of one parameter group under a state table: flat or sharded parameters, gradients, and the
// pieces that this rank's optimizer updates.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "deepspeed/comm/group.h"
#include "deepspeed/optim/optimizer.h"
#include "deepspeed/partition/layout.h"
#include "deepspeed/zero/gradient_reducer.h"
#include "deepspeed/zero/host_side.h"
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
              StateFormats formats, const ParameterShards::Fill& fill = {}, const aio::AioConfig& aio = {});

  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  const partition::Layout& layout() const { return layout_; }
  const StateTable& table() const { return table_; }
  GradientReducer& gradients() { return gradients_; }
  /// Where parameters are sharded; else null.
  ParameterShards* shards() { return shards_.get(); }

  /// What this rank's optimizer updates, in shard order: one piece a parameter it owns (part of), or several
  /// where offload cuts it. Views stay valid. Masters and parameters that live on NVMe have sizes, but no
  /// memory (optimizer_home.h).
  std::vector<optim::Piece> pieces() const;
  /// The same as places within parameters: pieces()[i] covers owned()[i].
  const std::vector<partition::Piece>& owned() const { return owned_; }
  /// The parameters' own values at owned()[i], in their format; a copy where they are on a disk.
  at::Tensor values_of(size_t i) const;
  /// New values of a piece whose parameters are on a disk, and whether owned()[i] is such a piece; or of one
  /// whose optimizer lives beside the device.
  void write_values(size_t i, const at::Tensor& values);
  bool is_stored(size_t i) const;
  /// Those values are where they belong, or an Error says why not.
  void finish_writes() const {
    if (host_) host_->settle();
    if (shards_) shards_->finish_writes();
  }
  /// Whether the optimizer's pieces lie in page-locked memory beside the parameters' device: their new values
  /// come by write_values().
  bool has_host_side() const { return host_ != nullptr; }

  /// The averaged gradient at owned()[i], while gradients().has_average(); a view.
  at::Tensor gradient_of(size_t i) const;

  /// After the optimizer stepped: every rank gets every parameter's new value, or what of it it keeps.
  /// Collective.
  void publish();
  /// Gives the parameters new values: `fill` is called for every run of elements that this rank keeps (all of
  /// them, or its shard), with memory for them in the parameters' format. Masters do not follow. Collective.
  void load_values(const ParameterShards::Fill& fill);
  /// The same of one parameter in two steps: this rank's own; then, collective, the copies that ranks keep of
  /// each other's parts.
  void load_own_values(size_t param, const ParameterShards::Fill& fill);
  void refresh(size_t param);
  /// Elements of owned()[piece] from `begin` on have been given new values (GatheredParameters): masters
  /// follow, those that live elsewhere through the call.
  using WriteMaster = std::function<void(size_t piece, int64_t begin, const at::Tensor& values)>;
  void set_write_master(WriteMaster call) { write_master_ = std::move(call); }

  /// Adds what this rank's parameters, gradients and master copies in memory take.
  void add_bytes(StateBytes& bytes) const;

 private:
  void flatten();
  void make_masters(at::ScalarType format, int64_t numel);
  void load_piece(size_t i, const ParameterShards::Fill& fill);
  bool has_masters() const;
  void adopt_part(const partition::Piece& part);
  at::Tensor own_values() const;

  std::vector<NamedParameter> parameters_;
  ZeroConfig config_;
  StateTable table_;
  comm::GroupPtr group_;            // over which they are cut
  partition::Layout layout_;        // over the group: who owns which gradients
  std::shared_ptr<HostSide> host_;  // where the optimizer lives beside the device
  std::vector<partition::Piece> owned_;
  int64_t first_ = 0;  // flat offset of shard_offset 0 of owned_
  std::unique_ptr<ParameterShards> shards_;
  at::Tensor flat_;  // [padded_numel], the parameters' dtype, or this rank's [shard_numel] of sharded ones
  int64_t resident_ = 0;  // of the shard's elements, those that are not offloaded
  at::Tensor master_;   // what the optimizer owns, as far as it is in memory; in the parameters' own format a
                        // view of flat_
  at::Tensor rounded_;  // beside the device: master_ in the parameters' format, where that is another
  WriteMaster write_master_;
  GradientReducer gradients_;
};

}  // namespace deepspeed::zero
