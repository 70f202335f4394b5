#include "deepspeed/zero/part_gather.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "deepspeed/zero/coded_tensor.h"
#include "deepspeed/zero/following_work.h"

namespace deepspeed::zero {

PartGather::PartGather(comm::GroupPtr group, size_t parameters, Options options)
    : group_(std::move(group)), options_(std::move(options)), kept_(parameters) {}

comm::WorkPtr PartGather::start_exact(const at::Tensor& whole, const at::Tensor& part) {
  if (!options_.hosts) return group_->all_gather_into_tensor(whole, part, /*async=*/true);
  return all_gather(whole.view(at::kByte), part.view(at::kByte));
}

comm::WorkPtr PartGather::start(size_t param, const at::Tensor& whole, const at::Tensor& part) {
  if (!options_.code && !options_.secondary) return start_exact(whole, part);
  return start_coded(param, whole, kept_[param].valid ? at::Tensor() : message_of(part));
}

comm::WorkPtr PartGather::start_coded(size_t param, const at::Tensor& whole, const at::Tensor& message) {
  const bool from_kept = kept_[param].valid;
  const at::Tensor own = from_kept ? kept_[param].bytes : message;
  const int64_t ranks = from_kept ? options_.secondary->size() : group_->size();
  const at::Tensor messages =
      options_.code ? at::empty({own.numel() * ranks}, at::kByte) : whole.view(at::kByte);
  auto work = from_kept ? options_.secondary->all_gather_into_tensor(messages, own, /*async=*/true)
                        : all_gather(messages, own);
  return followed_by(std::move(work), [this, param, from_kept, messages, whole] {
    if (options_.secondary && !from_kept) keep(param, messages);
    if (options_.code) decode_all(messages, whole);
  });
}

comm::WorkPtr PartGather::all_gather(const at::Tensor& messages, const at::Tensor& own) const {
  if (!options_.hosts) return group_->all_gather_into_tensor(messages, own, /*async=*/true);
  const comm::GroupPtr across = options_.hosts->across, within = options_.hosts->within;
  const at::Tensor like = at::empty({across->size() * own.numel()}, at::kByte);
  auto work = across->all_gather_into_tensor(like, own, /*async=*/true);
  return followed_by(std::move(work), [across, within, like, messages] {
    // By place within a host, then by host; wanted by host first.
    const at::Tensor by_place = at::empty_like(messages);
    within->all_gather_into_tensor(by_place, like);
    messages.view({across->size(), within->size(), -1})
        .copy_(by_place.view({within->size(), across->size(), -1}).transpose(0, 1));
  });
}

// A rank's part as it travels.
at::Tensor PartGather::message_of(const at::Tensor& part) const {
  if (!options_.code) return part.view(at::kByte);
  at::Tensor message = at::empty({ops::coded_bytes(*options_.code, part.numel())}, at::kByte);
  encode(*options_.code, part, message.mutable_data_ptr<uint8_t>());
  return message;
}

// This rank's share of all messages, those of neighbouring ranks.
void PartGather::keep(size_t param, const at::Tensor& messages) {
  const int64_t share = messages.numel() / options_.secondary->size();
  Kept& kept = kept_[param];
  if (!kept.bytes.defined()) kept.bytes = at::empty({share}, at::kByte);
  kept.bytes.copy_(messages.narrow(0, options_.secondary->rank() * share, share));
  kept.valid = true;
}

void PartGather::decode_all(const at::Tensor& messages, const at::Tensor& whole) const {
  const int64_t ranks = group_->size(), bytes = messages.numel() / ranks, part = whole.numel() / ranks;
  for (int64_t r = 0; r < ranks; ++r) {
    const uint8_t* message = messages.const_data_ptr<uint8_t>() + r * bytes;
    decode(*options_.code, {&message, 1}, whole.narrow(0, r * part, part));
  }
}

void PartGather::forget_all() {
  for (Kept& kept : kept_) kept.valid = false;
}

int64_t PartGather::bytes_kept() const {
  int64_t total = 0;
  for (const Kept& kept : kept_) total += kept.bytes.defined() ? kept.bytes.numel() : 0;
  return total;
}

}  // namespace deepspeed::zero
