// Which ranks share what: the groups over which model states are cut, gathered and reduced.
#pragma once

#include <optional>
#include <utility>

#include "deepspeed/comm/group.h"
#include "deepspeed/mesh/sub_groups.h"
#include "deepspeed/zero/config.h"

namespace deepspeed::zero {

struct ZeroGroups {
  /// All data-parallel ranks are one shard group.
  ZeroGroups(comm::GroupPtr everyone) : all(everyone), shard(std::move(everyone)) {}  // NOLINT: implicit

  comm::GroupPtr all;        // data-parallel ranks: those whose gradients are averaged
  comm::GroupPtr shard;      // over which states are cut: all, or this rank's shard group under MiCS
  comm::GroupPtr replicas;   // MiCS: the ranks that keep the same shard; else null
  comm::GroupPtr secondary;  // hpZ: the ranks that hold a second copy of all parameters together; else null
  std::optional<mesh::SubGroups> hosts;  // qgZ: the ranks of this host and their like on others, if several
  std::optional<mesh::SubGroups> shard_hosts;  // MiCS: the same within `shard`, where it gathers by hosts

  /// Whether this rank's states are the ones to save: no lower rank has the same.
  bool saves() const { return !replicas || replicas->rank() == 0; }
};

/// The groups that a configuration asks for. qgZ takes zero_hpz_partition_size neighbours for a host where
/// there is such a partition, else Group::ranks_per_host. Error naming the key where a size does not divide
/// the ranks. MiCS gathers by hosts where asked to and its shard group spans several whole ones. Collective.
ZeroGroups make_zero_groups(const ZeroConfig& config, const comm::GroupPtr& all);

}  // namespace deepspeed::zero
