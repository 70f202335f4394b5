// Memory that the ranks of one host share. Internal to comm.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace deepspeed::comm {

/// A mapping of an anonymous memory file (memfd_create): it has no name in any file system and ends with the
/// last process that maps it, however that process ends. All of it is reserved when it is made, so touching
/// it never fails later, and it can neither grow nor shrink. A process maps it once, however many of its
/// threads open it; a race detector would take two mappings for two memories.
class SharedMemory {
 public:
  /// Throws base::Error when the system does not provide such memory.
  static SharedMemory create(size_t bytes);
  /// What `offer` of another process (or thread) describes. Throws base::Error when that is another host or
  /// another container, when the memory may not be opened, or is not the one that was offered.
  static SharedMemory open(const std::string& offer);

  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&&) = delete;
  ~SharedMemory();

  /// One word of text by which open() finds this memory, while its maker keeps the descriptor.
  const std::string& offer() const { return offer_; }
  /// To be called when everyone has opened it.
  void close_descriptor();

  /// All zero at first; the first bytes are this class's own and not part of it.
  std::byte* data() const;
  size_t size() const;

 private:
  SharedMemory(int fd, std::shared_ptr<std::byte> mapped, size_t bytes);

  int fd_ = -1;
  std::shared_ptr<std::byte> mapped_;
  size_t mapped_bytes_ = 0;
  std::string offer_;
};

}  // namespace deepspeed::comm
