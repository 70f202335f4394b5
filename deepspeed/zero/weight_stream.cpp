#include "deepspeed/zero/weight_stream.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <numeric>

#include "deepspeed/base/error.h"
#include "deepspeed/zero/state_file.h"

namespace deepspeed::zero {
namespace {

using Clock = std::chrono::steady_clock;

// Size and time of the last change.
std::pair<int64_t, int64_t> state_of(const aio::File& file) {
  struct stat status {};
  DS_CHECK(::fstat(file.buffered_fd(), &status) == 0, "cannot look at {}: {}", file.name(),
           std::strerror(errno));
  return {status.st_size, status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
}

}  // namespace

WeightStream::WeightStream(std::vector<aio::File> files, std::vector<StreamedUnit> units,
                           const WeightStreamOptions& options)
    : handle_(options.aio, state_file_backend(options.aio, options.backend)) {
  std::vector<int64_t> file_bytes;
  for (aio::File& file : files) {
    const auto [bytes, modified] = state_of(file);
    file_bytes.push_back(bytes);
    sources_.push_back({std::move(file), bytes, modified});
  }
  size_t largest = 0, all = 0;
  for (StreamedUnit& unit : units) {
    for (const StreamedRange& range : unit.ranges)
      DS_CHECK(range.offset + static_cast<int64_t>(range.bytes) <= file_bytes.at(range.file),
               "{} has {} bytes and should hold {} of {} from {} on", sources_[range.file].file.name(),
               file_bytes[range.file], range.bytes, unit.name, range.offset);
    Unit planned{std::move(unit.name), plan_reads(unit.ranges, file_bytes), {}, units_.size() + 1};
    for (const StreamedRead& read : planned.plan.reads)
      if (planned.files.empty() || planned.files.back() != read.file) planned.files.push_back(read.file);
    DS_CHECK(planned.plan.bytes > 0, "{} has no bytes to read", planned.name);
    largest = std::max(largest, planned.plan.bytes);
    all += planned.plan.bytes;
    units_.push_back(std::move(planned));
  }
  if (units_.empty()) return;
  units_.back().next = 0;
  // Two queues of blocks beside the unit in use keep the disk busy where units are small.
  const auto queues = 2 * static_cast<size_t>(options.aio.block_size * options.aio.queue_depth);
  const size_t wanted = std::max(std::max<size_t>(options.buffers, 2) * largest, largest + queues);
  memory_ = aio::Buffer(std::min(wanted, std::max(all, largest)),
                        options.pin ? aio::Buffer::Lock::kWherePossible : aio::Buffer::Lock::kNo);
  ring_ = Ring(memory_.size());
  last_ = units_.size() - 1;
}

int64_t WeightStream::round_bytes() const {
  return std::accumulate(units_.begin(), units_.end(), int64_t{0}, [](int64_t sum, const Unit& unit) {
    return sum + static_cast<int64_t>(unit.plan.bytes);
  });
}

std::vector<std::byte*> WeightStream::acquire(size_t unit) {
  release();
  expect(unit);
  const Unit& wanted = units_.at(unit);
  const auto began = Clock::now();
  try {
    read_ahead();
    for (const aio::Ticket ticket : slots_.front().tickets) handle_.wait(ticket);
    check_unchanged(wanted);
  } catch (...) {
    discard();
    throw;
  }
  seconds_waited_ += std::chrono::duration<double>(Clock::now() - began).count();
  bytes_used_ += static_cast<int64_t>(wanted.plan.bytes);
  held_ = true;
  last_ = unit;
  std::vector<std::byte*> places;
  for (const size_t place : wanted.plan.places)
    places.push_back(memory_.data() + slots_.front().begin + place);
  return places;
}

void WeightStream::release() {
  if (!held_) return;
  held_ = false;
  slots_.pop_front();
  ring_.give_back();
  read_ahead();
}

// Sees to it that the unit is the first of those that are on the way.
void WeightStream::expect(size_t unit) {
  if (!slots_.empty() && slots_.front().unit == unit) return;
  if (units_.at(last_).next != unit) {
    units_[last_].next = unit;
    ++surprises_;
  }
  discard();
  DS_CHECK(start(unit), "{} of {} bytes has no room in {} bytes of memory", units_[unit].name,
           units_[unit].plan.bytes, memory_.size());
}

void WeightStream::read_ahead() {
  while (start(units_[slots_.empty() ? last_ : slots_.back().unit].next)) {
  }
}

bool WeightStream::start(size_t unit) {
  const UnitReads& plan = units_.at(unit).plan;
  const auto begin = ring_.take(plan.bytes);
  if (!begin) return false;
  Slot& slot = slots_.emplace_back(Slot{unit, *begin, {}});
  try {
    for (const StreamedRead& read : plan.reads)
      slot.tickets.push_back(handle_.async_pread(memory_.bytes().subspan(*begin + read.place, read.bytes),
                                                 sources_[read.file].file, read.offset));
  } catch (...) {
    discard();  // else a part of the unit would count as all of it
    throw;
  }
  return true;
}

void WeightStream::discard() {
  handle_.cancel();
  slots_.clear();
  ring_.clear();
  held_ = false;
}

void WeightStream::check_unchanged(const Unit& unit) const {
  for (const size_t file : unit.files) {
    const Source& source = sources_[file];
    DS_CHECK((state_of(source.file) == std::pair(source.bytes, source.modified)),
             "{} was changed while a model was being read from it ({}); load the model again",
             source.file.name(), unit.name);
  }
}

}  // namespace deepspeed::zero
