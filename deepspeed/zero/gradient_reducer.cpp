#include "deepspeed/zero/gradient_reducer.h"

#include <ATen/ScalarOps.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mul.h>

#include <algorithm>

#include "deepspeed/accel/dtype.h"
#include "deepspeed/base/error.h"
#include "deepspeed/ops/buffer.h"

namespace deepspeed::zero {
namespace {

// Buckets in flight at once when gradients are sharded: bounds the memory of buffers waiting for the network.
constexpr size_t kBucketsInFlight = 2;

}  // namespace

GradientReducer::GradientReducer(partition::Layout layout, const StateTable& table, const ZeroConfig& config,
                                 const ZeroGroups& groups, at::ScalarType dtype)
    : layout_(std::move(layout)),
      table_(table),
      config_(config),
      groups_(groups),
      dtype_(dtype),
      wire_(config.reduction.communication_data_type
                ? accel::scalar_type(*config.reduction.communication_data_type)
                : dtype),
      scale_(reduction_scale(config, table, groups_.all->size(), wire_)),
      buckets_(plan_buckets(layout_, config.reduce_bucket_size)),
      bucket_of_(layout_.params().size()),
      reduction_(make_owner_reduction(config, groups, layout_, scale_.op)),
      arrived_(layout_.params().size(), 0),
      open_(buckets_.size()),
      lent_(layout_.params().size()) {
  for (size_t b = 0; b < buckets_.size(); ++b) {
    missing_.push_back(static_cast<int64_t>(buckets_[b].last_param - buckets_[b].first_param));
    for (size_t p = buckets_[b].first_param; p < buckets_[b].last_param; ++p) bucket_of_[p] = b;
  }
  DS_CHECK(table.gradient.sharded || layout_.is_concatenated(),
           "whole gradients are kept in the order of a concatenated layout");
  const at::Device device = groups_.shard->device();
  host_ = HostSide::where_wanted(config_.offload_optimizer, device);
  if (host_)
    given_ =
        HostSide::memory(table.optimizer.sharded ? layout_.shard_numel() : layout_.padded_numel(), dtype);
  const int64_t kept = table.gradient.sharded ? layout_.shard_numel() : layout_.padded_numel();
  accumulated_ = host_ && table.gradient.sharded ? given_ : ops::empty_buffer({kept}, dtype, device);
  accumulated_.zero_();
  has_sum_.assign(table.gradient.sharded ? buckets_.size() : layout_.params().size(), 0);
}

// Where a bucket's gradients are collected, in the order in which they travel.
at::Tensor GradientReducer::buffer_of(size_t index) {
  const Bucket& bucket = buckets_[index];
  if (!table_.gradient.sharded)
    return accumulated_.narrow(0, layout_.flat_offset(bucket.first_param), bucket.numel);
  at::Tensor& buffer = open_[index];
  if (!buffer.defined()) {
    buffer = ops::empty_buffer({bucket.numel}, dtype_, groups_.shard->device());
    for (const BucketRun& gap : bucket.padding) buffer.narrow(0, gap.place, gap.count).zero_();
  }
  return buffer;
}

void GradientReducer::each_run(size_t param, const std::function<void(const BucketRun&, at::Tensor)>& visit) {
  const Bucket& bucket = buckets_[bucket_of_[param]];
  const at::Tensor buffer = buffer_of(bucket_of_[param]);
  for (const BucketRun& run : bucket.runs[param - bucket.first_param])
    visit(run, buffer.narrow(0, run.place, run.count));
}

// What gradients are multiplied by on their way into a bucket: whole sums once, as their window closes.
double GradientReducer::factor_now() const { return reduces_now() && wire_ == dtype_ ? scale_.before : 1.0; }

at::Tensor GradientReducer::place(size_t param) {
  const Bucket& bucket = buckets_[bucket_of_[param]];
  const auto& runs = bucket.runs[param - bucket.first_param];
  const bool in_one_place = runs.size() == 1 && runs[0].count == layout_.params()[param].numel;
  if (!in_one_place || arrived_[param] || holds_whole_sum(param) || lent_[param].is_lent()) return {};
  return lent_[param].lend(buffer_of(bucket_of_[param]).narrow(0, runs[0].place, runs[0].count));
}

void GradientReducer::add(size_t param, const at::Tensor& gradient) {
  has_average_ = false;
  const at::Tensor grad = gradient.is_sparse() ? gradient.to_dense() : gradient;
  DS_CHECK(!arrived_[param] || bucket_of_[param] >= next_bucket_ || !reduces_now(),
           "a further gradient of '{}' arrived after its bucket had been reduced: the parameter is used by "
           "several nested "
           "backward passes of one step",
           layout_.params()[param].name);
  each_run(param, [&](const BucketRun& run, const at::Tensor& target) {
    if (run.count == grad.numel())
      deposit(param, target.view(grad.sizes()), grad);
    else
      deposit(param, target, grad.contiguous().view({-1}).narrow(0, run.begin, run.count));
  });
  if (!table_.gradient.sharded) has_sum_[param] = 1;
  if (arrived_[param]) return;
  arrived_[param] = 1;
  --missing_[bucket_of_[param]];
  if (reduces_now()) issue_ready();
}

// Puts elements of a gradient where they are collected, or adds them to what is there.
void GradientReducer::deposit(size_t param, at::Tensor target, const at::Tensor& grad) {
  const double factor = factor_now();
  // A wrapped number keeps its precision: in 16 bits, as a tensor or as the alpha of add_, 1/3 would be off
  // by 0.2 %.
  const at::Tensor share = at::native::wrapped_scalar_tensor(factor);
  const bool in_place = grad.data_ptr() == target.data_ptr();  // computed there
  if (!in_place) lent_[param].recall();
  if (in_place) {
    if (factor != 1) target.mul_(share);
  } else if (arrived_[param]) {
    target.add_(factor == 1 ? grad : grad.mul(share));
  } else if (holds_whole_sum(param)) {
    target.add_(grad);
    if (factor != 1) target.mul_(share);
  } else if (grad.scalar_type() == dtype_ && factor != 1) {
    at::mul_out(target, grad, share);
  } else {
    target.copy_(grad);
    if (factor != 1) target.mul_(share);
  }
}

void GradientReducer::issue_ready() {
  while (next_bucket_ < buckets_.size() && missing_[next_bucket_] == 0) issue(next_bucket_++);
}

const Bucket::Slice& GradientReducer::own_slice(size_t bucket) const {
  return buckets_[bucket].slices[static_cast<size_t>(groups_.shard->rank())];
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
  if (bucket.numel == 0) return;
  if (before_issue_) before_issue_(index);
  const at::Tensor gradients = buffer_of(index);
  open_[index].reset();
  Pending pending{.bucket = index, .work = nullptr, .input = on_wire(gradients), .result = {}};
  const Bucket::Slice& slice = own_slice(index);
  const at::Tensor own = pending.input.narrow(0, slice.place, slice.count);
  pending.result = table_.optimizer.sharded ? own : pending.input;
  if (!table_.optimizer.sharded || !config_.reduce_scatter) {
    pending.work = groups_.all->all_reduce(pending.input, scale_.op, /*async=*/true);
  } else {
    if (table_.gradient.sharded) {
      const bool in_place = !has_sum_[index] && own.numel() > 0 && wire_ == dtype_ && !host_;
      pending.result = in_place ? place_in_shard(index) : at::empty_like(own);
    }
    pending.work = reduction_->start(index, bucket, pending.result, pending.input);
  }
  pending_.push_back(std::move(pending));
  const bool must_wait = config_.overlap_comm == false;
  while (!pending_.empty() && (must_wait || (table_.gradient.sharded && pending_.size() > kBucketsInFlight)))
    complete_oldest();
}

// Where this rank's slice of a bucket lies in its shard.
at::Tensor GradientReducer::place_in_shard(size_t bucket) const {
  const Bucket::Slice& slice = own_slice(bucket);
  return accumulated_.narrow(0, slice.shard_offset, slice.count);
}

void GradientReducer::complete_oldest() {
  Pending pending = std::move(pending_.front());
  pending_.pop_front();
  pending.work->wait();
  if (scale_.after != 1) pending.result.mul_(at::native::wrapped_scalar_tensor(scale_.after));
  if (host_) give_to_host(pending.bucket, pending.result);
  if (!table_.gradient.sharded) {
    if (wire_ == dtype_) return;
    const Bucket::Slice& slice = own_slice(pending.bucket);
    const at::Tensor whole = buffer_of(pending.bucket);
    (table_.optimizer.sharded ? whole.narrow(0, slice.place, slice.count) : whole).copy_(pending.result);
    return;
  }
  if (!host_ && pending.result.numel() > 0) {
    at::Tensor sum = place_in_shard(pending.bucket);
    if (has_sum_[pending.bucket])
      sum.add_(pending.result);
    else if (!sum.is_alias_of(pending.result))
      sum.copy_(pending.result);
  }
  has_sum_[pending.bucket] = 1;
}

// A reduced bucket, or this rank's slice of it, on its way to the optimizer while backward goes on.
void GradientReducer::give_to_host(size_t bucket, const at::Tensor& result) {
  const int64_t begin = table_.optimizer.sharded ? own_slice(bucket).shard_offset
                                                 : layout_.flat_offset(buckets_[bucket].first_param);
  const bool adds = table_.gradient.sharded && has_sum_[bucket];
  host_->fetch(given_.narrow(0, begin, result.numel()), result, adds);
}

void GradientReducer::finish(const std::function<void(size_t)>& on_unused) {
  for (size_t p = 0; p < arrived_.size(); ++p) {
    if (arrived_[p]) continue;
    if (on_unused) on_unused(p);
    const double factor = factor_now();
    lent_[p].recall();
    each_run(p, [&](const BucketRun&, at::Tensor target) {
      if (!holds_whole_sum(p))
        target.zero_();
      else if (factor != 1)
        target.mul_(at::native::wrapped_scalar_tensor(factor));
    });
    if (!table_.gradient.sharded) has_sum_[p] = 1;
    --missing_[bucket_of_[p]];
  }
  if (reduces_now()) issue_ready();
  while (!pending_.empty()) complete_oldest();
  if (host_ && boundary_) host_->wait();
  unreduced_ = !reduces_now();
  has_average_ = boundary_;
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
  return accumulated_.narrow(0, groups_.shard->rank() * layout_.shard_numel(), layout_.shard_numel());
}

at::Tensor GradientReducer::whole() const {
  DS_CHECK(!table_.gradient.sharded, "gradients are sharded: no rank holds them whole");
  return accumulated_;
}

at::Tensor GradientReducer::given() const {
  if (host_) return given_;
  return table_.optimizer.sharded ? shard() : whole();
}

void GradientReducer::clear() {
  std::fill(has_sum_.begin(), has_sum_.end(), 0);
  unreduced_ = has_average_ = false;
}

std::string GradientReducer::memory_of() const {
  std::string text = reduction_->memory_of();
  if (text.empty()) return text;
  for (const Bucket& bucket : buckets_)
    text += fmt::format("; {} to {}, {} elements", layout_.params()[bucket.first_param].name,
                        layout_.params()[bucket.last_param - 1].name, bucket.numel);
  return text;
}

int64_t GradientReducer::bytes_in_buckets() const {
  int64_t sum = 0;
  const auto add = [&](const at::Tensor& t) {
    if (t.defined() && !t.is_alias_of(accumulated_)) sum += static_cast<int64_t>(t.storage().nbytes());
  };
  for (const at::Tensor& buffer : open_) add(buffer);
  for (const Pending& pending : pending_) {
    add(pending.input);
    if (!pending.result.is_alias_of(pending.input)) add(pending.result);
  }
  return sum;
}

}  // namespace deepspeed::zero
