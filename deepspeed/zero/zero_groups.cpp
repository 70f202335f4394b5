#include "deepspeed/zero/zero_groups.h"

#include <algorithm>
#include <climits>

namespace deepspeed::zero {

ZeroGroups make_zero_groups(const ZeroConfig& config, const comm::GroupPtr& all) {
  ZeroGroups groups(all);
  const PlusPlusConfig& plus = config.plus_plus;
  const int world = all->size();
  if (plus.mics_shard_size > 0) {
    const int size = static_cast<int>(std::min<int64_t>(plus.mics_shard_size, INT_MAX));
    const auto mics = mesh::make_sub_groups(all, size, "zero_optimization.mics_shard_size");
    groups.shard = mics.within;
    if (mics.across->size() > 1) groups.replicas = mics.across;
    const int host = all->ranks_per_host();
    if (plus.mics_hierarchical_params_gather && host > 1 && host < plus.mics_shard_size &&
        plus.mics_shard_size % host == 0)
      groups.shard_hosts =
          mesh::make_sub_groups(groups.shard, host, "zero_optimization.mics_hierarchical_params_gather");
  }
  // As DeepSpeed has it, a partition larger than the world is the world.
  const int partition = static_cast<int>(std::min<int64_t>(plus.hpz_partition_size, world));
  if (partition > 1 && partition < world)
    groups.secondary =
        mesh::make_sub_groups(all, partition, "zero_optimization.zero_hpz_partition_size").within;
  const int host = partition > 1 ? partition : all->ranks_per_host();
  if (plus.quantized_gradients && host > 1 && host < world && world % host == 0)
    groups.hosts = mesh::make_sub_groups(all, host, "zero_optimization.zero_quantized_gradients");
  return groups;
}

}  // namespace deepspeed::zero
