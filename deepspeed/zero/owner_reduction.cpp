#include "deepspeed/zero/owner_reduction.h"

#include "deepspeed/base/error.h"
#include "deepspeed/zero/following_work.h"
#include "deepspeed/zero/quantized_reduction.h"

namespace deepspeed::zero {
namespace {

class ReduceScatter final : public OwnerReduction {
 public:
  ReduceScatter(const ZeroGroups& groups, comm::ReduceOp op) : groups_(groups), op_(op) {}

  comm::WorkPtr start(size_t, const Bucket& bucket, const at::Tensor& result,
                      const at::Tensor& input) override {
    auto work = groups_.shard->reduce_scatter_v(result, input, bucket.splits(), op_, /*async=*/true);
    if (!groups_.replicas) return work;
    return followed_by(std::move(work),
                       [replicas = groups_.replicas, result, op = op_] { replicas->all_reduce(result, op); });
  }

 private:
  ZeroGroups groups_;
  comm::ReduceOp op_;
};

}  // namespace

std::unique_ptr<OwnerReduction> make_owner_reduction(const ZeroConfig& config, const ZeroGroups& groups,
                                                     const partition::Layout& layout, comm::ReduceOp op) {
  if (config.plus_plus.quantized_gradients && groups.shard->size() > 1) {
    DS_CHECK(op == comm::ReduceOp::kSum, "gradients in few bits are summed, not averaged");
    return std::make_unique<QuantizedReduction>(config.plus_plus, groups, layout);
  }
  return std::make_unique<ReduceScatter>(groups, op);
}

}  // namespace deepspeed::zero
