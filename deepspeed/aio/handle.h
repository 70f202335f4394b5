// Asynchronous reads and writes of files, as DeepSpeed's aio_handle offers them
// (csrc/aio/py_lib/deepspeed_py_io_handle.cpp).
//
//   Handle handle(config);
//   const File file = File::unnamed("/nvme");
//   Buffer tile(64 << 20);
//   Ticket written = handle.async_pwrite(tile.bytes(), file, 0);
//   ... compute ...
//   handle.wait(written);
//
// Every request is cut into one part a worker (`intra_op_parallelism`), every part into blocks
// (`block_size`), of which each worker keeps `queue_depth` in flight. Workers are threads of the handle, so
// that transfers go on while the caller computes; requests are started in the order they were made and may
// overtake one another.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "deepspeed/aio/backend.h"
#include "deepspeed/aio/buffer.h"
#include "deepspeed/aio/config.h"
#include "deepspeed/aio/file.h"
#include "deepspeed/aio/request.h"

namespace deepspeed::aio {

class Worker;

/// Names a request that was not waited for yet.
using Ticket = uint64_t;

/// May be used from several threads, though a rank is best served by one of its own. Independent of all other
/// handles.
///
/// Memory must stay until its request was waited for, or until the handle is gone: wait(), cancel() and the
/// destructor return only when no transfer of theirs is in flight. Requests in flight at the same time must
/// not touch the same bytes of a file or of memory unless all of them read. Errors (base::Error) name file,
/// offset and reason: a file that ends too early, a full disk, a failing one. The handle can be used again
/// after any of them.
class Handle {
 public:
  /// An Error when the named backend cannot be had here.
  explicit Handle(const AioConfig& config = {}, BackendKind backend = BackendKind::kAuto);
  /// With backends of the caller's, for tests.
  Handle(const AioConfig& config, const BackendFactory& make_backend);
  /// As cancel().
  ~Handle();
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  const AioConfig& config() const { return config_; }

  /// Starts reading buffer.size() bytes from `offset` on, any of which may be odd.
  Ticket async_pread(std::span<std::byte> buffer, const File& file, int64_t offset = 0);
  /// Starts writing. Space behind the file's end is taken at once, so a full disk may be an Error here
  /// already.
  Ticket async_pwrite(std::span<const std::byte> buffer, const File& file, int64_t offset = 0);

  /// Waits for one request; an Error if it failed, or if the ticket was waited for before.
  void wait(Ticket ticket);
  /// Waits for all requests that were not waited for, and returns how many those were. If any failed, the
  /// Error of the first made, once all are over.
  size_t wait();
  /// Whether wait(ticket) would return at once.
  bool done(Ticket ticket);
  /// Gives up what has not been started, waits for what has, and forgets all requests and their errors.
  void cancel();

  /// A request and its wait.
  void sync_pread(std::span<std::byte> buffer, const File& file, int64_t offset = 0);
  void sync_pwrite(std::span<const std::byte> buffer, const File& file, int64_t offset = 0);
  /// The same on one worker, whatever intra_op_parallelism says.
  void read(std::span<std::byte> buffer, const File& file, int64_t offset = 0);
  void write(std::span<const std::byte> buffer, const File& file, int64_t offset = 0);

 private:
  /// A request that was not waited for.
  struct Pending {
    size_t parts_left = 0;
    Failure failure;
  };
  Ticket start(Request request, int parts);
  void part_over(Part part);

  AioConfig config_;
  std::mutex mutex_;
  std::condition_variable over_;
  std::map<Ticket, Pending> pending_;
  Ticket next_ = 1;
  bool said_buffered_ = false;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace deepspeed::aio
