// The ways to have transfers done by the kernel: io_uring, libaio, or threads that call pread and pwrite.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

namespace deepspeed::aio {

enum class Direction { kRead, kWrite };

/// One read or write of the kernel's.
struct Transfer {
  Direction direction = Direction::kRead;
  int fd = -1;
  std::byte* memory = nullptr;
  size_t bytes = 0;
  int64_t offset = 0;
  uint32_t slot = 0;  // the caller's number for it, below the depth and free again once it is done
};

struct Completion {
  uint32_t slot = 0;
  int64_t result = 0;  // bytes moved, which may be fewer than asked for, or -errno
};

/// Used by one thread, the one that made it. Must not be destroyed while transfers are in flight.
class Backend {
 public:
  virtual ~Backend() = default;
  /// Starts all of `start`, then waits until `least` of the transfers in flight are done. What is done goes
  /// to `done`, which has room for the depth; returns how many. Nothing of a transfer is touched any more
  /// once it is done. The caller keeps no more than the depth in flight and asks for no more than are in
  /// flight.
  virtual size_t exchange(std::span<const Transfer> start, size_t least, std::span<Completion> done) = 0;
};

enum class BackendKind { kAuto, kIoUring, kLibaio, kThreadPool };

/// "auto", "io_uring", "libaio" or "thread_pool"; anything else is an Error.
BackendKind parse_backend(std::string_view name);
std::string_view name_of(BackendKind kind);

/// Makes a backend for `depth` transfers in flight, in the thread that will use it.
using BackendFactory = std::function<std::unique_ptr<Backend>(int depth)>;

/// Each tries what it needs of the kernel; an Error says why it cannot be had (seccomp, an old kernel, a
/// build without it).
std::unique_ptr<Backend> make_io_uring(int depth);
std::unique_ptr<Backend> make_libaio(int depth);
std::unique_ptr<Backend> make_thread_pool(int depth);

/// kAuto: the first of the three, in this order, that can be had here with such a depth. Others: themselves.
BackendKind choose_backend(BackendKind wanted, int depth = 1);
BackendFactory factory_of(BackendKind kind, int depth = 1);

}  // namespace deepspeed::aio
