#include "deepspeed/zero/part_store.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/zero/state_file.h"

namespace deepspeed::zero {
namespace {

// More would only wait for the disk in more memory.
constexpr size_t kWritesInFlight = 4;

std::span<std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.mutable_data_ptr()), tensor.nbytes()};
}

}  // namespace

PartStore::PartStore(int64_t numel, int64_t in_memory, at::ScalarType dtype,
                     const std::optional<PartFileOptions>& file, at::Device device)
    : numel_(numel), memory_(at::zeros({in_memory}, at::TensorOptions(dtype).device(device))) {
  if (in_memory == numel) return;
  DS_CHECK(device.is_cpu(), "parts of parameters on {} cannot be stored in a file", device.str());
  DS_CHECK(file, "{} of {} elements are to be stored, but there is no file", numel - in_memory, numel);
  disk_.reset(new Disk{.file = open_state_file(file->folder),
                       .writes = {},
                       .handle = aio::Handle(file->aio, state_file_backend(file->aio, file->backend))});
  disk_->file.reserve(offset(numel));
}

at::Tensor PartStore::read(int64_t begin, int64_t count) const {
  if (!is_stored(begin)) return memory_.narrow(0, begin, count);
  if (is_being_written(begin, count)) finish_writes();
  const at::Tensor values = at::empty({count}, memory_.options());
  disk_->handle.sync_pread(bytes_of(values), disk_->file, offset(begin));
  return values;
}

void PartStore::write(int64_t begin, const at::Tensor& values) {
  if (!is_stored(begin)) {
    memory_.narrow(0, begin, values.numel()).copy_(values);
    return;
  }
  if (is_being_written(begin, values.numel())) finish_writes();
  while (disk_->writes.size() >= kWritesInFlight) {
    try {
      finish_oldest_write();
    } catch (...) {
      end_writes();
      throw;
    }
  }
  const at::Tensor copy = values.to(dtype(), /*non_blocking=*/false, /*copy=*/true).contiguous();
  const aio::Ticket ticket = disk_->handle.async_pwrite(bytes_of(copy), disk_->file, offset(begin));
  disk_->writes.push_back({ticket, begin, copy});
}

bool PartStore::is_being_written(int64_t begin, int64_t count) const {
  return std::any_of(disk_->writes.begin(), disk_->writes.end(), [&](const Disk::Write& write) {
    return write.begin < begin + count && begin < write.begin + write.values.numel();
  });
}

void PartStore::finish_oldest_write() const {
  const Disk::Write oldest = std::move(disk_->writes.front());
  disk_->writes.pop_front();
  disk_->handle.wait(oldest.ticket);
}

std::exception_ptr PartStore::end_writes() const {
  std::exception_ptr first;
  while (disk_ && !disk_->writes.empty()) {
    try {
      finish_oldest_write();
    } catch (...) {
      if (!first) first = std::current_exception();
    }
  }
  return first;
}

void PartStore::finish_writes() const {
  if (const auto failure = end_writes()) std::rethrow_exception(failure);
}

aio::Ticket PartStore::start_read(int64_t begin, const at::Tensor& out) {
  if (is_being_written(begin, out.numel() / element_size())) finish_writes();
  return disk_->handle.async_pread(bytes_of(out), disk_->file, offset(begin));
}

void PartStore::wait(aio::Ticket ticket) { disk_->handle.wait(ticket); }

void PartStore::cancel() {
  if (!disk_) return;
  disk_->handle.cancel();
  disk_->writes.clear();
}

}  // namespace deepspeed::zero
