#include "deepspeed/accel/side_stream.h"

#include <ATen/DeviceAccelerator.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "deepspeed/base/error.h"

namespace deepspeed::accel {
namespace {

c10::Stream new_stream(at::Device device) {
  DS_CHECK(!device.is_cpu(), "the CPU has no streams");
  return c10::impl::VirtualGuardImpl(device.type()).getNewStream(device);
}

void wait_for(const c10::Stream& later, const c10::Stream& earlier) {
  c10::Event event(earlier.device_type());
  event.record(earlier);
  event.block(later);
}

}  // namespace

SideStream::SideStream(at::Device device) : stream_(new_stream(device)) {}

void SideStream::follow() const {
  wait_for(stream_, at::accelerator::getCurrentStream(stream_.device_index()));
}

void SideStream::join() const {
  wait_for(at::accelerator::getCurrentStream(stream_.device_index()), stream_);
}

void SideStream::wait() const { stream_.synchronize(); }

void SideStream::keeps(const at::Tensor& tensor) const { tensor.record_stream(stream_); }

}  // namespace deepspeed::accel
