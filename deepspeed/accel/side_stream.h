// Work of a device beside what is being computed there: copies that overlap with it.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>
#include <c10/core/StreamGuard.h>

namespace deepspeed::accel {

/// A stream of its own on a device that is not the CPU. The current stream is that of the calling thread.
class SideStream {
 public:
  explicit SideStream(at::Device device);

  /// While it lives, what this thread tells the device goes to this stream.
  [[nodiscard]] c10::StreamGuard enter() const { return c10::StreamGuard(stream_); }
  /// What comes here from now on waits for all that the current stream was told.
  void follow() const;
  /// What the current stream is told from now on waits for all that came here.
  void join() const;
  /// Returns when the device has done all that came here.
  void wait() const;
  /// The tensor's memory, which the current stream allocated, is not used again before this stream is done
  /// with it.
  void keeps(const at::Tensor& tensor) const;

 private:
  c10::Stream stream_;
};

}  // namespace deepspeed::accel
