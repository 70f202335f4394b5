#include "deepspeed/zero/owner_reduction.h"

#include "deepspeed/zero/following_work.h"
#include "deepspeed/zero/quantized_reduction.h"

namespace deepspeed::zero {
namespace {

class ReduceScatter final : public OwnerReduction {
 public:
  explicit ReduceScatter(const ZeroGroups& groups) : groups_(groups) {}

  comm::WorkPtr start(size_t, const Bucket& bucket, const at::Tensor& result,
                      const at::Tensor& input) override {
    auto work = groups_.shard->reduce_scatter_v(result, input, bucket.splits(), comm::ReduceOp::kSum,
                                                /*async=*/true);
    if (!groups_.replicas) return work;
    return followed_by(std::move(work),
                       [replicas = groups_.replicas, result] { replicas->all_reduce(result); });
  }

 private:
  ZeroGroups groups_;
};

}  // namespace

std::unique_ptr<OwnerReduction> make_owner_reduction(const ZeroConfig& config, const ZeroGroups& groups,
                                                     const partition::Layout& layout) {
  if (config.plus_plus.quantized_gradients && groups.shard->size() > 1)
    return std::make_unique<QuantizedReduction>(config.plus_plus, groups, layout);
  return std::make_unique<ReduceScatter>(groups);
}

}  // namespace deepspeed::zero
