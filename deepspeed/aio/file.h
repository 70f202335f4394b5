// Open files that are read and written by offset.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "deepspeed/aio/plan.h"

namespace deepspeed::aio {

enum class Mode {
  kRead,
  kWrite,      // made where it does not exist; what it holds stays
  kReadWrite,  // as kWrite
};

enum class Caching {
  kDirect,    // past the page cache, where the file system allows it
  kBuffered,  // through the page cache
};

/// A shared open file: copies name the same one, and it is closed with the last copy. A request holds a copy,
/// so that a file stays open as long as any transfer of it is in flight. May be used from several threads.
class File {
 public:
  /// Errors name the path and the reason; what is neither a regular file nor a block device is one.
  static File open(const std::filesystem::path& path, Mode mode, Caching caching = Caching::kDirect);
  /// A new file in `folder` without a name, for reading and writing, whose space is free again when it is
  /// closed, also after a crash.
  static File unnamed(const std::filesystem::path& folder, Caching caching = Caching::kDirect);
  /// The caller's descriptor, which must stay open while requests use it and is not closed here. It goes past
  /// the page cache if it was opened with O_DIRECT. `name` is for error messages.
  static File borrow(int fd, std::string name);

  const std::string& name() const;
  int64_t size() const;
  /// Makes the file at least `bytes` long and takes the space now, so that a full disk shows here and writes
  /// behind the old end run side by side. Where the file system cannot take space ahead, nothing happens.
  /// Block devices keep their size.
  void reserve(int64_t bytes) const;
  /// Cuts or extends the file.
  void resize(int64_t bytes) const;
  /// Returns when the data are on the disk.
  void sync() const;

  Geometry geometry() const;
  /// The descriptors of either way; the same one where there is no direct way.
  int direct_fd() const;
  int buffered_fd() const;
  /// From now on nothing is transferred directly: the file system took O_DIRECT but refuses such transfers.
  void give_up_direct() const;
  /// True when direct transfers were wanted and the file system refuses them.
  bool direct_refused() const;

 private:
  struct State;
  explicit File(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace deepspeed::aio
