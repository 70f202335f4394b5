// How a bucket's gradients become sums at the ranks that own them.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>

#include "deepspeed/comm/group.h"
#include "deepspeed/partition/layout.h"
#include "deepspeed/zero/bucket_plan.h"
#include "deepspeed/zero/config.h"
#include "deepspeed/zero/zero_groups.h"

namespace deepspeed::zero {

/// What a rank's reductions keep from one for the next, by name: it means something to the same rank of the
/// same ranks with the same buckets alone.
using ReductionMemory = std::map<std::string, at::Tensor>;

class OwnerReduction {
 public:
  virtual ~OwnerReduction() = default;
  /// Starts result = the sum (or mean) over all data-parallel ranks of this rank's slice of
  /// input[bucket.numel]; result may be that slice. `index` is the bucket's number. Both tensors are left
  /// alone until the Work is done, and Works are waited for in the order in which they began. Collective.
  virtual comm::WorkPtr start(size_t index, const Bucket& bucket, const at::Tensor& result,
                              const at::Tensor& input) = 0;
  /// Nothing where reductions do not depend on earlier ones. Views.
  virtual ReductionMemory memory() const { return {}; }
  /// Replaces it, by copies; nothing: what the first reduction began with.
  virtual void set_memory(const ReductionMemory&) {}
  /// Between which ranks gradients travel, as far as memory() depends on it; empty where there never is any.
  virtual std::string memory_of() const { return {}; }
};

/// What a configuration asks for: a reduce-scatter over the shard group, summed over the replicas where there
/// are some (MiCS), or in few bits (quantized_reduction.h), which gives sums alone. `layout` is that of the
/// buckets, `op` kSum or kAvg.
std::unique_ptr<OwnerReduction> make_owner_reduction(const ZeroConfig& config, const ZeroGroups& groups,
                                                     const partition::Layout& layout, comm::ReduceOp op);

}  // namespace deepspeed::zero
