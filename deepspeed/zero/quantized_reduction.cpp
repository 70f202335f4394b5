#include "deepspeed/zero/quantized_reduction.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <fmt/format.h>

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/zero/coded_tensor.h"
#include "deepspeed/zero/following_work.h"

namespace deepspeed::zero {

QuantizedReduction::QuantizedReduction(const PlusPlusConfig& config, const ZeroGroups& groups,
                                       partition::Layout layout)
    : code_(gradient_code(config.gradient_bits)), groups_(groups), layout_(std::move(layout)) {
  DS_CHECK(!groups.replicas && !layout_.is_concatenated(),
           "zero_quantized_gradients needs parameters that are sharded over all ranks (stage 3, no MiCS)");
  if (!config.loco) return;
  first_errors_.emplace(*config.loco);
  if (groups.hosts) second_errors_.emplace(*config.loco);
}

QuantizedReduction::Slice QuantizedReduction::slice_of(const Bucket& bucket) const {
  Slice slice;
  for (size_t p = bucket.first_param; p < bucket.last_param; ++p) {
    const int64_t part = layout_.part_numel(p);
    slice.parts.push_back(part);
    slice.numel += part;
    slice.bytes += ops::coded_bytes(code_, part);
  }
  return slice;
}

// Every slice of `values` in code, in the order of an all-to-all: rank h * N + l of a job of N ranks a host
// is the h-th slice of its l-th receiver.
at::Tensor QuantizedReduction::encode_slices(const Slice& slice, const at::Tensor& values,
                                             int64_t hosts) const {
  const int64_t count = values.numel() / std::max<int64_t>(1, slice.numel), receivers = count / hosts;
  at::Tensor messages = at::empty({count * slice.bytes}, at::kByte);
  for (int64_t r = 0; r < count; ++r) {
    const int64_t place = r % receivers * hosts + r / receivers;
    uint8_t* to = messages.mutable_data_ptr<uint8_t>() + place * slice.bytes;
    int64_t from = r * slice.numel;
    for (const int64_t part : slice.parts) {
      encode(code_, values.narrow(0, from, part), to);
      from += part;
      to += ops::coded_bytes(code_, part);
    }
  }
  return messages;
}

// sums[numel] = the sum of every stride-th message, from the first on.
void QuantizedReduction::decode_slices(const Slice& slice, const at::Tensor& messages, int64_t stride,
                                       const at::Tensor& sums) const {
  std::vector<const uint8_t*> from;
  for (int64_t at = 0; at < messages.numel(); at += stride * slice.bytes)
    from.push_back(messages.const_data_ptr<uint8_t>() + at);
  int64_t to = 0;
  for (const int64_t part : slice.parts) {
    decode(code_, from, sums.narrow(0, to, part));
    to += part;
    for (const uint8_t*& message : from) message += ops::coded_bytes(code_, part);
  }
}

comm::WorkPtr QuantizedReduction::start(size_t index, const Bucket& bucket, const at::Tensor& result,
                                        const at::Tensor& input) {
  const Slice slice = slice_of(bucket);
  const int64_t hosts = groups_.hosts ? groups_.hosts->across->size() : 1;
  const at::Tensor values = first_errors_ ? first_errors_->corrected(index, input) : input;
  const at::Tensor messages = encode_slices(slice, values, hosts);
  learn(first_errors_, index, slice, values, messages, hosts);
  const at::Tensor received = at::empty_like(messages);
  const comm::GroupPtr& group = groups_.hosts ? groups_.hosts->within : groups_.shard;
  auto work = group->all_to_all_single(received, messages, {}, {}, /*async=*/true);
  return followed_by(std::move(work), [this, index, slice, received, result, hosts] {
    if (hosts == 1) return decode_slices(slice, received, 1, result);
    reduce_between_hosts(index, slice, received, result);
  });
}

// received: from each rank of this host the slices of this rank's like on every host.
void QuantizedReduction::reduce_between_hosts(size_t index, const Slice& slice, const at::Tensor& received,
                                              const at::Tensor& result) {
  const int64_t hosts = groups_.hosts->across->size();
  at::Tensor sums = at::empty({hosts * slice.numel}, at::kFloat);
  for (int64_t h = 0; h < hosts; ++h) {
    const at::Tensor from = received.narrow(0, h * slice.bytes, received.numel() - h * slice.bytes);
    decode_slices(slice, from, hosts, sums.narrow(0, h * slice.numel, slice.numel));
  }
  if (second_errors_) sums = second_errors_->corrected(index, sums);
  const at::Tensor messages = encode_slices(slice, sums, 1);
  learn(second_errors_, index, slice, sums, messages, 1);
  const at::Tensor arrived = at::empty_like(messages);
  groups_.hosts->across->all_to_all_single(arrived, messages);
  decode_slices(slice, arrived, 1, result);
}

void QuantizedReduction::learn(std::optional<ErrorFeedback>& feedback, size_t index, const Slice& slice,
                               const at::Tensor& values, const at::Tensor& messages, int64_t hosts) {
  if (!feedback) return;
  at::Tensor sent = at::empty_like(values);
  const int64_t count = values.numel() / std::max<int64_t>(1, slice.numel), receivers = count / hosts;
  for (int64_t r = 0; r < count; ++r) {
    const int64_t place = r % receivers * hosts + r / receivers;
    decode_slices(slice, messages.narrow(0, place * slice.bytes, slice.bytes), 1,
                  sent.narrow(0, r * slice.numel, slice.numel));
  }
  feedback->learn(index, values, sent);
}

namespace {

constexpr const char *kFirst = "first/", *kSecond = "second/";

}  // namespace

ReductionMemory QuantizedReduction::memory() const {
  ReductionMemory all;
  const auto add = [&](const char* level, const std::optional<ErrorFeedback>& feedback) {
    if (!feedback) return;
    for (auto& [name, tensor] : feedback->memory()) all[level + name] = tensor;
  };
  add(kFirst, first_errors_);
  add(kSecond, second_errors_);
  return all;
}

void QuantizedReduction::set_memory(const ReductionMemory& memory) {
  const auto take = [&](const std::string& level, std::optional<ErrorFeedback>& feedback) {
    if (!feedback) return;
    ReductionMemory own;
    for (const auto& [name, tensor] : memory)
      if (name.starts_with(level)) own[name.substr(level.size())] = tensor;
    feedback->set_memory(own);
  };
  take(kFirst, first_errors_);
  take(kSecond, second_errors_);
}

std::string QuantizedReduction::memory_of() const {
  if (!first_errors_) return {};
  return fmt::format("{} ranks, {} a host", groups_.shard->size(),
                     groups_.hosts ? groups_.hosts->within->size() : groups_.shard->size());
}

}  // namespace deepspeed::zero
