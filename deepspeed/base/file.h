// Files that are read whole, mapped, or replaced atomically. Every error names the path and the reason.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace deepspeed::base {

/// The file's text. `max_bytes` bounds what a wrong path can make us allocate.
std::string read_text_file(const std::filesystem::path& path, size_t max_bytes = size_t{1} << 30);

/// A whole file mapped read-only. Movable. An empty file maps to an empty span.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Copies bytes out of a mapping of `file`, where they begin at `offset`. What reading them would answer with
/// SIGBUS, a file that became shorter or a disk that fails, is an Error naming both (from Linux 5.14 on).
/// What was copied no longer counts as this process's resident memory.
void copy_mapped(std::span<const std::byte> from, std::byte* to, const std::filesystem::path& file,
                 size_t offset);

/// Replaces a file atomically: bytes go to "<path>.tmp.<pid>.<n>", commit() fsyncs it, renames it over `path`
/// and fsyncs the folder. A symbolic link stays and what it names is replaced; a device or FIFO is an Error.
/// Without commit() the destructor removes the temporary file and `path` is untouched.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  /// Writes all bytes, resuming after EINTR and short writes; ENOSPC and others are Errors naming file and
  /// offset.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Makes the data durable under the temporary name. commit() does this as well, unless nothing was written
  /// since.
  void sync();
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  int fd_ = -1;
  size_t offset_ = 0;
  bool synced_ = false;
};

void write_text_file(const std::filesystem::path& path, std::string_view text);
/// fsync of a folder, so that names made or renamed in it survive a crash.
void sync_directory(const std::filesystem::path& path);

/// Tests only: called before each write(2) and fsync(2) of AtomicFile with a running count kept by the
/// callee; a non-zero return is taken as that call's errno. Null switches it off.
void set_write_fault(std::function<int()> fault);

}  // namespace deepspeed::base
