#include "deepspeed/zero/call_agreement.h"

#include <ATen/ops/empty.h>

#include <numeric>

#include "deepspeed/base/error.h"

namespace deepspeed::zero {
namespace {

uint64_t mixed(uint64_t history, uint64_t call) {
  uint64_t x = (history ^ call) * 0x9E3779B97F4A7C15u;
  return x ^ (x >> 29);
}

}  // namespace

CallAgreement::CallAgreement(comm::Group& group, Describe describe) : describe_(std::move(describe)) {
  if (group.size() == 1) return;
  std::vector<int> everyone(static_cast<size_t>(group.size()));
  std::iota(everyone.begin(), everyone.end(), 0);
  group_ = group.new_group(everyone, group.name() + "/agreement");
}

void CallAgreement::announce(int64_t call) {
  if (!group_) return;
  history_ = mixed(history_, static_cast<uint64_t>(call));
  Announcement next{at::empty({2}, at::kLong), at::empty({group_->size(), 2}, at::kLong), nullptr};
  next.own.mutable_data_ptr<int64_t>()[0] = call;
  next.own.mutable_data_ptr<int64_t>()[1] = static_cast<int64_t>(history_);
  next.work = group_->all_gather_into_tensor(next.all.view({-1}), next.own, /*async=*/true);
  open_.push_back(std::move(next));
}

void CallAgreement::check() {
  while (!open_.empty()) {
    const Announcement oldest = std::move(open_.front());
    open_.pop_front();
    oldest.work->wait();
    compare(oldest);
  }
}

void CallAgreement::compare(const Announcement& announcement) const {
  const int64_t* said = announcement.all.const_data_ptr<int64_t>();
  for (int rank = 1; rank < group_->size(); ++rank) {
    if (said[2 * rank] == said[0] && said[2 * rank + 1] == said[1]) continue;
    base::fail(
        "the ranks went different ways through the model: rank {} is about {}, rank 0 {}; under stage 3 "
        "every rank must run the same Blocks in the same order",
        rank, describe_(said[2 * rank]), describe_(said[0]));
  }
}

}  // namespace deepspeed::zero
