#include "deepspeed/aio/handle.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "deepspeed/aio/worker.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/log.h"

namespace deepspeed::aio {
namespace {

const AioConfig& checked(const AioConfig& config) {
  const auto within = [](const char* what, int64_t value, int64_t most) {
    if (value < 1 || value > most) base::fail("aio: {} is {}, it must be from 1 to {}", what, value, most);
  };
  within("block_size", config.block_size, kMaxBlockSize);
  within("queue_depth", config.queue_depth, kMaxQueueDepth);
  within("intra_op_parallelism", config.intra_op_parallelism, kMaxWorkers);
  return config;
}

void check(const Request& request) {
  const auto bytes = static_cast<uint64_t>(request.bytes);
  if (request.offset < 0 ||
      bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max() - request.offset))
    base::fail("{} bytes at offset {} of {} are no place in a file", bytes, request.offset,
               request.file.name());
}

}  // namespace

Handle::Handle(const AioConfig& config, BackendKind backend)
    : Handle(config, factory_of(backend, checked(config).queue_depth)) {}

Handle::Handle(const AioConfig& config, const BackendFactory& make_backend) : config_(checked(config)) {
  for (int i = 0; i < config.intra_op_parallelism; ++i)
    workers_.push_back(
        std::make_unique<Worker>(config, make_backend, [this](Part part) { part_over(std::move(part)); }));
}

Handle::~Handle() {
  cancel();
  for (const auto& worker : workers_) worker->stop();  // libaio takes its time to end: side by side
}

Ticket Handle::async_pread(std::span<std::byte> buffer, const File& file, int64_t offset) {
  return start({Direction::kRead, buffer.data(), buffer.size(), file, offset}, config_.intra_op_parallelism);
}

Ticket Handle::async_pwrite(std::span<const std::byte> buffer, const File& file, int64_t offset) {
  auto* memory = const_cast<std::byte*>(buffer.data());  // one Request serves both directions
  return start({Direction::kWrite, memory, buffer.size(), file, offset}, config_.intra_op_parallelism);
}

Ticket Handle::start(Request request, int parts) {
  check(request);
  if (request.direction == Direction::kWrite && request.bytes > 0)
    request.file.reserve(request.offset + static_cast<int64_t>(request.bytes));
  const auto ranges = split(request.offset, request.bytes, parts, request.file.geometry().offset_align);
  {
    const std::lock_guard lock(mutex_);
    request.ticket = next_++;
    pending_[request.ticket].parts_left = ranges.size();
  }
  const Ticket ticket = request.ticket;
  const auto shared = std::make_shared<const Request>(std::move(request));
  for (size_t i = 0; i < ranges.size(); ++i) workers_[i]->add({shared, ranges[i], {}});
  return ticket;
}

// Called by workers.
void Handle::part_over(Part part) {
  const std::lock_guard lock(mutex_);
  if (part.request->file.direct_refused() && !std::exchange(said_buffered_, true))
    base::log_warning("{}: the file system refuses direct transfers, so they go through the page cache",
                      part.request->file.name());
  Pending& pending = pending_.at(part.request->ticket);
  part.request.reset();  // so that its file is closed before anyone learns that it is over
  pending.failure.keep_first(std::move(part.failure));
  if (--pending.parts_left == 0) over_.notify_all();
}

void Handle::wait(Ticket ticket) {
  std::unique_lock lock(mutex_);
  // Looked up again after every pause: another thread's wait() may have taken it.
  const auto find = [&] {
    const auto found = pending_.find(ticket);
    DS_CHECK(found != pending_.end(), "aio: request {} does not exist or was waited for before", ticket);
    return found;
  };
  over_.wait(lock, [&] { return find()->second.parts_left == 0; });
  const Failure failure = std::move(pending_.extract(find()).mapped().failure);
  if (failure) throw base::Error(failure.text);
}

size_t Handle::wait() {
  std::unique_lock lock(mutex_);
  const Ticket last = next_;
  over_.wait(lock, [&] {
    return std::all_of(pending_.begin(), pending_.lower_bound(last),
                       [](const auto& entry) { return entry.second.parts_left == 0; });
  });
  size_t count = 0, failures = 0;
  Failure first;
  while (!pending_.empty() && pending_.begin()->first < last) {
    Failure failure = std::move(pending_.begin()->second.failure);
    if (failure && failures++ == 0) first = std::move(failure);
    pending_.erase(pending_.begin());
    ++count;
  }
  if (failures > 1) first.text += fmt::format(" ({} of {} requests failed)", failures, count);
  if (first) throw base::Error(first.text);
  return count;
}

bool Handle::done(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  const auto found = pending_.find(ticket);
  return found == pending_.end() || found->second.parts_left == 0;
}

void Handle::cancel() {
  for (const auto& worker : workers_) worker->cancel();
  std::unique_lock lock(mutex_);
  over_.wait(lock, [&] {
    return std::ranges::all_of(pending_, [](const auto& entry) { return entry.second.parts_left == 0; });
  });
  pending_.clear();
}

void Handle::sync_pread(std::span<std::byte> buffer, const File& file, int64_t offset) {
  wait(async_pread(buffer, file, offset));
}

void Handle::sync_pwrite(std::span<const std::byte> buffer, const File& file, int64_t offset) {
  wait(async_pwrite(buffer, file, offset));
}

void Handle::read(std::span<std::byte> buffer, const File& file, int64_t offset) {
  wait(start({Direction::kRead, buffer.data(), buffer.size(), file, offset}, 1));
}

void Handle::write(std::span<const std::byte> buffer, const File& file, int64_t offset) {
  wait(start({Direction::kWrite, const_cast<std::byte*>(buffer.data()), buffer.size(), file, offset}, 1));
}

}  // namespace deepspeed::aio
