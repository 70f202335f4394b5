#include "deepspeed/aio/plan.h"

#include <algorithm>

namespace deepspeed::aio {
namespace {

size_t round_up(size_t value, size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

BlockPlan::BlockPlan(uintptr_t address, int64_t offset, Range part, size_t block_size,
                     const Geometry& geometry)
    : begin_(part.begin),
      head_(0),
      middle_(part.bytes),
      tail_(0),
      block_(block_size),
      route_(Route::kBuffered) {
  if (geometry.direct) {
    const size_t align = geometry.offset_align;
    const size_t start = static_cast<size_t>(offset) + part.begin;
    head_ = std::min(part.bytes, round_up(start, align) - start);
    middle_ = (part.bytes - head_) / align * align;
    tail_ = part.bytes - head_ - middle_;
    const bool aligned = (address + begin_ + head_) % geometry.memory_align == 0;
    route_ = aligned ? Route::kDirect : Route::kBounce;
    block_ = round_up(aligned ? block_size : std::min(block_size, kBounceBytes), align);
  }
  middle_blocks_ = (middle_ + block_ - 1) / block_;
}

Block BlockPlan::at(size_t i) const {
  if (head_ > 0) {
    if (i == 0) return {{begin_, head_}, Route::kBuffered};
    --i;
  }
  const size_t middle = begin_ + head_;
  if (i == middle_blocks_) return {{middle + middle_, tail_}, Route::kBuffered};
  return {{middle + i * block_, std::min(block_, middle_ - i * block_)}, route_};
}

std::vector<Range> split(int64_t offset, size_t bytes, int parts, size_t align) {
  std::vector<Range> ranges;
  const auto count = static_cast<size_t>(parts);
  size_t begin = 0;
  for (size_t i = 1; i <= count && begin < bytes; ++i) {
    const size_t wanted = bytes / count * i + bytes % count * i / count;
    const size_t start = static_cast<size_t>(offset);
    const size_t end = i == count ? bytes : std::min(bytes, round_up(start + wanted, align) - start);
    if (end > begin) ranges.push_back({begin, end - begin});
    begin = std::max(begin, end);
  }
  return ranges;
}

}  // namespace deepspeed::aio
