#include "deepspeed/zero/stream_plan.h"

#include <algorithm>
#include <numeric>

#include "deepspeed/aio/plan.h"
#include "deepspeed/base/error.h"

namespace deepspeed::zero {
namespace {

constexpr int64_t kPage = aio::kPage;
// A gap that costs less than one more transfer.
constexpr int64_t kGap = 64 << 10;

int64_t page_begin(int64_t offset) { return offset / kPage * kPage; }
int64_t page_end(int64_t offset) { return (offset + kPage - 1) / kPage * kPage; }

}  // namespace

UnitReads plan_reads(const std::vector<StreamedRange>& ranges, const std::vector<int64_t>& file_bytes) {
  std::vector<size_t> order(ranges.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::pair(ranges[a].file, ranges[a].offset) < std::pair(ranges[b].file, ranges[b].offset);
  });
  UnitReads plan;
  plan.places.resize(ranges.size());
  int64_t end = 0;  // of the last read, in whole pages
  for (const size_t i : order) {
    const StreamedRange& range = ranges[i];
    const int64_t begin = page_begin(range.offset),
                  range_end = page_end(range.offset + static_cast<int64_t>(range.bytes));
    const bool joins = !plan.reads.empty() && plan.reads.back().file == range.file && begin <= end + kGap;
    if (!joins) {
      plan.reads.push_back({range.file, begin, 0, plan.bytes});
      end = begin;
    }
    StreamedRead& read = plan.reads.back();
    end = std::max(end, range_end);
    // No file is read past its end, though its last page has memory.
    read.bytes = static_cast<size_t>(std::min(end, file_bytes.at(range.file)) - read.offset);
    plan.bytes = read.place + static_cast<size_t>(end - read.offset);
    plan.places[i] = read.place + static_cast<size_t>(range.offset - read.offset);
  }
  return plan;
}

std::optional<size_t> Ring::take(size_t bytes) {
  size_t begin = 0, room = bytes_;
  if (!out_.empty()) {
    const size_t head = out_.front().begin, tail = out_.back().end;
    const bool wrapped = tail <= head;
    begin = tail;
    room = (wrapped ? head : bytes_) - tail;
    if (!wrapped && bytes > room) begin = 0, room = head;
  }
  if (bytes > room) return std::nullopt;
  out_.push_back({begin, begin + bytes});
  return begin;
}

void Ring::give_back() {
  DS_CHECK(!out_.empty(), "a ring was given back what it had not given out");
  out_.pop_front();
}

}  // namespace deepspeed::zero
