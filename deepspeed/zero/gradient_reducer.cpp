#include "deepspeed/zero/gradient_reducer.h"

#include <ATen/ScalarOps.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "deepspeed/accel/dtype.h"
#include "deepspeed/base/error.h"

namespace deepspeed::zero {
namespace {

// Buckets in flight at once when gradients are sharded: bounds the memory of buffers waiting for the network.
constexpr size_t kBucketsInFlight = 2;

}  // namespace

GradientReducer::GradientReducer(partition::Layout layout, const StateTable& table, const ZeroConfig& config,
                                 comm::GroupPtr group, at::ScalarType dtype)
    : layout_(std::move(layout)),
      table_(table),
      config_(config),
      group_(std::move(group)),
      dtype_(dtype),
      wire_(config.reduction.communication_data_type
                ? accel::scalar_type(*config.reduction.communication_data_type)
                : dtype),
      scale_(reduction_scale(config, table, group_->size(), wire_)),
      buckets_(plan_buckets(layout_, config.reduce_bucket_size)),
      bucket_of_(layout_.params().size()),
      arrived_(layout_.params().size(), 0),
      open_(buckets_.size()) {
  for (size_t b = 0; b < buckets_.size(); ++b) {
    missing_.push_back(static_cast<int64_t>(buckets_[b].last_param - buckets_[b].first_param));
    for (size_t p = buckets_[b].first_param; p < buckets_[b].last_param; ++p) bucket_of_[p] = b;
  }
  accumulated_ = at::zeros({table.gradient.sharded ? layout_.shard_numel() : layout_.padded_numel()}, dtype);
  has_sum_.assign(table.gradient.sharded ? buckets_.size() : layout_.params().size(), 0);
}

// Where a parameter's gradient is collected.
at::Tensor GradientReducer::slot(size_t param) {
  const int64_t offset = layout_.flat_offset(param), count = layout_.params()[param].numel;
  if (!table_.gradient.sharded) return accumulated_.narrow(0, offset, count);
  const Bucket& bucket = buckets_[bucket_of_[param]];
  at::Tensor& buffer = open_[bucket_of_[param]];
  if (!buffer.defined()) buffer = at::empty({bucket.end - bucket.begin}, dtype_);
  return buffer.narrow(0, offset - bucket.begin, count);
}

// What gradients are multiplied by on their way into a bucket: whole sums once, as their window closes.
double GradientReducer::factor_now() const { return reduces_now() && wire_ == dtype_ ? scale_.before : 1.0; }

void GradientReducer::add(size_t param, const at::Tensor& gradient) {
  const at::Tensor grad = gradient.is_sparse() ? gradient.to_dense() : gradient;
  DS_CHECK(!arrived_[param] || bucket_of_[param] >= next_bucket_ || !reduces_now(),
           "a further gradient of '{}' arrived after its bucket had been reduced: the parameter is used by "
           "several nested "
           "backward passes of one step",
           layout_.params()[param].name);
  at::Tensor target = slot(param).view(grad.sizes());
  const double factor = factor_now();
  // A wrapped number keeps its precision: in 16 bits, as a tensor or as the alpha of add_, 1/3 would be off
  // by 0.2 %.
  const at::Tensor share = at::native::wrapped_scalar_tensor(factor);
  if (arrived_[param]) {
    target.add_(factor == 1 ? grad : grad.mul(share));
  } else if (!table_.gradient.sharded && has_sum_[param]) {
    target.add_(grad);
    if (factor != 1) target.mul_(share);
  } else if (grad.scalar_type() == dtype_ && factor != 1) {
    at::mul_out(target, grad, share);
  } else {
    target.copy_(grad);
    if (factor != 1) target.mul_(share);
  }
  if (!table_.gradient.sharded) has_sum_[param] = 1;
  if (arrived_[param]) return;
  arrived_[param] = 1;
  --missing_[bucket_of_[param]];
  if (reduces_now()) issue_ready();
}

void GradientReducer::issue_ready() {
  while (next_bucket_ < buckets_.size() && missing_[next_bucket_] == 0) issue(next_bucket_++);
}

// The part of a bucket's buffer that this rank owns.
at::Tensor GradientReducer::own_slice(const Bucket& bucket, at::Tensor buffer) const {
  const auto splits = owner_splits(bucket, layout_);
  int64_t before = 0;
  for (int r = 0; r < group_->rank(); ++r) before += splits[static_cast<size_t>(r)];
  return buffer.narrow(0, before, splits[static_cast<size_t>(group_->rank())]);
}

// The bucket as it travels.
at::Tensor GradientReducer::on_wire(const at::Tensor& gradients) const {
  if (wire_ == dtype_) return gradients;
  at::Tensor converted = gradients.to(wire_);
  if (scale_.before != 1) converted.mul_(at::native::wrapped_scalar_tensor(scale_.before));
  return converted;
}

void GradientReducer::issue(size_t index) {
  const Bucket& bucket = buckets_[index];
  const at::Tensor gradients = table_.gradient.sharded
                                   ? std::exchange(open_[index], {})
                                   : accumulated_.narrow(0, bucket.begin, bucket.end - bucket.begin);
  if (!gradients.defined()) return;  // a bucket of empty parameters
  Pending pending{.bucket = index, .work = nullptr, .input = on_wire(gradients), .result = {}};
  const at::Tensor own = own_slice(bucket, pending.input);
  pending.result = table_.optimizer.sharded ? own : pending.input;
  if (!table_.optimizer.sharded || !config_.reduce_scatter) {
    pending.work = group_->all_reduce(pending.input, comm::ReduceOp::kSum, /*async=*/true);
  } else {
    if (table_.gradient.sharded) {
      const bool in_place = !has_sum_[index] && own.numel() > 0 && wire_ == dtype_;
      pending.result = in_place ? place_in_shard(bucket, own.numel()) : at::empty_like(own);
    }
    pending.work = group_->reduce_scatter_v(pending.result, pending.input, owner_splits(bucket, layout_),
                                            comm::ReduceOp::kSum, /*async=*/true);
  }
  pending_.push_back(std::move(pending));
  const bool must_wait = config_.overlap_comm == false;
  while (!pending_.empty() && (must_wait || (table_.gradient.sharded && pending_.size() > kBucketsInFlight)))
    complete_oldest();
}

// Where this rank's `count` elements of a bucket lie in its shard.
at::Tensor GradientReducer::place_in_shard(const Bucket& bucket, int64_t count) const {
  const int64_t first = group_->rank() * layout_.shard_numel();
  return accumulated_.narrow(0, std::max(bucket.begin, first) - first, count);
}

void GradientReducer::complete_oldest() {
  Pending pending = std::move(pending_.front());
  pending_.pop_front();
  pending.work->wait();
  if (scale_.after != 1) pending.result.mul_(at::native::wrapped_scalar_tensor(scale_.after));
  const Bucket& bucket = buckets_[pending.bucket];
  if (!table_.gradient.sharded) {
    if (wire_ == dtype_) return;
    const at::Tensor whole = accumulated_.narrow(0, bucket.begin, bucket.end - bucket.begin);
    (table_.optimizer.sharded ? own_slice(bucket, whole) : whole).copy_(pending.result);
    return;
  }
  if (pending.result.numel() > 0) {
    at::Tensor sum = place_in_shard(bucket, pending.result.numel());
    if (has_sum_[pending.bucket])
      sum.add_(pending.result);
    else if (!sum.is_alias_of(pending.result))
      sum.copy_(pending.result);
  }
  has_sum_[pending.bucket] = 1;
}

void GradientReducer::finish(const std::function<void(size_t)>& on_unused) {
  for (size_t p = 0; p < arrived_.size(); ++p) {
    if (arrived_[p]) continue;
    if (on_unused) on_unused(p);
    if (table_.gradient.sharded || !has_sum_[p])
      slot(p).zero_();
    else if (const double factor = factor_now(); factor != 1)
      slot(p).mul_(at::native::wrapped_scalar_tensor(factor));
    --missing_[bucket_of_[p]];
  }
  if (reduces_now()) issue_ready();
  while (!pending_.empty()) complete_oldest();
  unreduced_ = !reduces_now();
  std::fill(arrived_.begin(), arrived_.end(), 0);
  for (size_t b = 0; b < buckets_.size(); ++b)
    missing_[b] = static_cast<int64_t>(buckets_[b].last_param - buckets_[b].first_param);
  next_bucket_ = 0;
}

void GradientReducer::flush() {
  if (!unreduced_) return;
  boundary_ = true;
  finish();
}

at::Tensor GradientReducer::shard() const {
  if (table_.gradient.sharded) return accumulated_;
  return accumulated_.narrow(0, group_->rank() * layout_.shard_numel(), layout_.shard_numel());
}

at::Tensor GradientReducer::whole() const {
  DS_CHECK(!table_.gradient.sharded, "gradients are sharded: no rank holds them whole");
  return accumulated_;
}

void GradientReducer::clear() {
  std::fill(has_sum_.begin(), has_sum_.end(), 0);
  unreduced_ = false;
}

}  // namespace deepspeed::zero
