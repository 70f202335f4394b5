#include "deepspeed/zero/part_store.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "deepspeed/base/error.h"
#include "deepspeed/zero/state_file.h"

namespace deepspeed::zero {
namespace {

std::span<std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.mutable_data_ptr()), tensor.nbytes()};
}

}  // namespace

PartStore::PartStore(int64_t numel, int64_t in_memory, at::ScalarType dtype,
                     const std::optional<PartFileOptions>& file)
    : numel_(numel), memory_(at::zeros({in_memory}, dtype)) {
  if (in_memory == numel) return;
  DS_CHECK(file, "{} of {} elements are to be stored, but there is no file", numel - in_memory, numel);
  disk_.reset(new Disk{.file = open_state_file(file->folder),
                       .handle = aio::Handle(file->aio, state_file_backend(file->aio, file->backend))});
  disk_->file.reserve(offset(numel));
}

at::Tensor PartStore::read(int64_t begin, int64_t count) const {
  if (!is_stored(begin)) return memory_.narrow(0, begin, count);
  const at::Tensor values = at::empty({count}, memory_.options());
  disk_->handle.sync_pread(bytes_of(values), disk_->file, offset(begin));
  return values;
}

void PartStore::write(int64_t begin, const at::Tensor& values) {
  if (!is_stored(begin)) {
    memory_.narrow(0, begin, values.numel()).copy_(values);
    return;
  }
  const at::Tensor bytes = values.to(dtype()).contiguous();
  disk_->handle.sync_pwrite(bytes_of(bytes), disk_->file, offset(begin));
}

aio::Ticket PartStore::start_read(int64_t begin, const at::Tensor& out) {
  return disk_->handle.async_pread(bytes_of(out), disk_->file, offset(begin));
}

void PartStore::wait(aio::Ticket ticket) { disk_->handle.wait(ticket); }

void PartStore::cancel() {
  if (disk_) disk_->handle.cancel();
}

}  // namespace deepspeed::zero
