// Gradients reduced in 4 bits (qgZ): every rank's slices go to their owners by all-to-all and are summed in
// fp32, first within each host and then, in 4 bits again, between hosts. Source: Wang et al., "ZeRO++:
// Extremely Efficient Collective Communication for Giant Model Training" (2023), section 3.3; DeepSpeed's
// runtime/comm/coalesced_collectives.py (all_to_all_quant_reduce).
#pragma once

#include <optional>

#include "deepspeed/ops/block_quantize.h"
#include "deepspeed/zero/error_feedback.h"
#include "deepspeed/zero/owner_reduction.h"

namespace deepspeed::zero {

/// Blocks never reach from one parameter into the next: neighbours may differ by orders of magnitude.
class QuantizedReduction final : public OwnerReduction {
 public:
  /// `layout` is per parameter, over groups.shard.
  QuantizedReduction(const PlusPlusConfig& config, const ZeroGroups& groups, partition::Layout layout);

  comm::WorkPtr start(size_t index, const Bucket& bucket, const at::Tensor& result,
                      const at::Tensor& input) override;
  ReductionMemory memory() const override;
  void set_memory(const ReductionMemory& memory) override;
  std::string memory_of() const override;

 private:
  // One rank's slice of a bucket: the parts of its parameters, and what it takes in code.
  struct Slice {
    std::vector<int64_t> parts;
    int64_t numel = 0, bytes = 0;
  };

  Slice slice_of(const Bucket& bucket) const;
  at::Tensor encode_slices(const Slice& slice, const at::Tensor& values, int64_t hosts) const;
  void decode_slices(const Slice& slice, const at::Tensor& messages, int64_t stride,
                     const at::Tensor& sums) const;
  void reduce_between_hosts(size_t index, const Slice& slice, const at::Tensor& received,
                            const at::Tensor& result);
  void learn(std::optional<ErrorFeedback>& feedback, size_t index, const Slice& slice,
             const at::Tensor& values, const at::Tensor& messages, int64_t hosts);

  ops::BlockCode code_;
  ZeroGroups groups_;
  partition::Layout layout_;
  std::optional<ErrorFeedback> first_errors_, second_errors_;  // of what each level sends
};

}  // namespace deepspeed::zero
