// Gradients of one parameter group: collected as backward produces them, averaged over the data-parallel
// group in buckets that are issued while backward is still running, accumulated over micro-batches.
//
// What the table says decides what is kept: a whole accumulation buffer that is reduced at the accumulation
// boundary (gradients not sharded), or one bucket at a time, reduced at every micro-batch into this rank's
// shard (sharded). Mirrors DeepSpeed's runtime/zero/stage_1_and_2.py
// (reduce_independent_p_g_buckets_and_remove_grads).
#pragma once

#include <ATen/core/Tensor.h>

#include <deque>
#include <string>
#include <vector>

#include "deepspeed/comm/group.h"
#include "deepspeed/partition/layout.h"
#include "deepspeed/zero/bucket_plan.h"
#include "deepspeed/zero/host_side.h"
#include "deepspeed/zero/lent_memory.h"
#include "deepspeed/zero/owner_reduction.h"
#include "deepspeed/zero/reduction_scale.h"
#include "deepspeed/zero/state_table.h"
#include "deepspeed/zero/zero_groups.h"

namespace deepspeed::zero {

class GradientReducer {
 public:
  /// `layout` says which elements of the group's parameters each rank of groups.shard owns; only sharded
  /// gradients may have a per-parameter one. `dtype` is what gradients are accumulated in, and reduced in
  /// unless communication_data_type says otherwise.
  GradientReducer(partition::Layout layout, const StateTable& table, const ZeroConfig& config,
                  const ZeroGroups& groups, at::ScalarType dtype);

  /// What gradients are accumulated in.
  at::ScalarType dtype() const { return dtype_; }

  /// Whether the backward that comes next ends an accumulation window. Collective decisions follow from it,
  /// so all ranks must say the same.
  void set_boundary(bool boundary) { boundary_ = boundary; }

  /// Called with a bucket's number just before its reduction is issued.
  void set_before_issue(std::function<void(size_t bucket)> call) { before_issue_ = std::move(call); }

  /// Where the next gradient of a parameter may be computed ([its elements]), for add() to find it in place;
  /// no tensor where that cannot be, now or ever. Who holds it past add() sees the reduction in it, as with
  /// gradient_as_bucket_view of PyTorch's DDP.
  at::Tensor place(size_t param);

  /// Takes the gradient of one parameter, dense or sparse; it may be freed afterwards. Issues every bucket
  /// that is now complete and next in the plan's order.
  void add(size_t param, const at::Tensor& gradient);

  /// All gradients of this backward have come. Parameters without one count as zero (`on_unused` sees them);
  /// issues the rest and waits for everything. Collective: every rank calls it once a micro-batch.
  void finish(const std::function<void(size_t param)>& on_unused = {});

  /// Reduces whole sums that the last backward left alone, because it was no boundary; else nothing.
  /// Collective.
  void flush();

  /// Whether shard() and whole() hold the average of a window that has ended: from the finish() of its
  /// boundary, or flush(), to clear().
  bool has_average() const { return has_average_; }
  /// This rank's part [shard_numel] of the averaged gradient, after finish() at a boundary. Padding is zero.
  at::Tensor shard() const;
  /// The whole averaged gradient [padded_numel], where gradients are not sharded.
  at::Tensor whole() const;
  /// What this rank's optimizer is given of the average: shard(), or whole() where optimizer states are
  /// whole; where those live beside the device (host_side.h), in page-locked memory.
  at::Tensor given() const;
  /// Starts the next accumulation window.
  void clear();

  /// The reduction's memory (owner_reduction.h), and for which ranks and buckets it is good; empty where
  /// there never is any.
  OwnerReduction& reduction() const { return *reduction_; }
  std::string memory_of() const;

  /// Bytes of what is accumulated, and of buckets that are being filled or on their way.
  int64_t bytes_accumulated() const { return static_cast<int64_t>(accumulated_.nbytes()); }
  int64_t bytes_in_buckets() const;

 private:
  struct Pending {
    size_t bucket;
    comm::WorkPtr work;
    at::Tensor input;  // the bucket's gradients as they travel; freed when done
    at::Tensor
        result;  // what the collective leaves for this rank: its slice, or all where nothing is sharded
  };

  bool reduces_now() const { return table_.gradient.sharded || boundary_; }
  double factor_now() const;
  at::Tensor buffer_of(size_t bucket);
  void each_run(size_t param, const std::function<void(const BucketRun&, at::Tensor)>& visit);
  void deposit(size_t param, at::Tensor target, const at::Tensor& gradient);
  bool holds_whole_sum(size_t param) const { return !table_.gradient.sharded && has_sum_[param]; }
  void issue_ready();
  void issue(size_t bucket);
  void complete_oldest();
  at::Tensor on_wire(const at::Tensor& gradients) const;
  void give_to_host(size_t bucket, const at::Tensor& result);
  const Bucket::Slice& own_slice(size_t bucket) const;
  at::Tensor place_in_shard(size_t bucket) const;

  partition::Layout layout_;
  StateTable table_;
  ZeroConfig config_;
  ZeroGroups groups_;
  at::ScalarType dtype_;  // of sums
  at::ScalarType wire_;   // of what travels
  ReductionScale scale_;
  std::vector<Bucket> buckets_;
  std::vector<size_t> bucket_of_;  // by parameter
  std::unique_ptr<OwnerReduction> reduction_;

  std::function<void(size_t)> before_issue_;
  bool boundary_ = true;
  bool has_average_ = false;
  bool unreduced_ = false;        // whole sums have grown since they were last reduced
  std::vector<char> arrived_;     // in this backward, by parameter
  std::vector<int64_t> missing_;  // parameters still to come in this backward, by bucket
  size_t next_bucket_ = 0;        // the next one to issue
  std::deque<Pending> pending_;

  std::shared_ptr<HostSide> host_;  // where the optimizer lives beside the device
  at::Tensor given_;                // [numel of given()] there; where gradients are sharded also accumulated_
  at::Tensor accumulated_;          // whole [padded_numel] or shard [shard_numel], see the table
  std::vector<char> has_sum_;     // by parameter (whole) or bucket (shard): earlier micro-batches left a sum
  std::vector<at::Tensor> open_;  // sharded only: buffers of buckets being filled
  std::vector<LentMemory> lent_;  // by parameter: where its gradient is being computed
};

}  // namespace deepspeed::zero
