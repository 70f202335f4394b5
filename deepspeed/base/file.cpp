#include "deepspeed/base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

#include "deepspeed/base/error.h"

namespace deepspeed::base {
namespace {

std::mutex g_fault_mutex;
std::function<int()> g_fault;  // guarded by g_fault_mutex

int injected_fault() {
  std::lock_guard lock(g_fault_mutex);
  return g_fault ? g_fault() : 0;
}

std::string reason(int error) { return std::strerror(error); }

int open_for_reading(const std::filesystem::path& path, size_t* size) {
  // Without O_NONBLOCK a FIFO that nobody writes to would block here for ever.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  DS_CHECK(fd >= 0, "cannot open '{}': {}", path.string(), reason(errno));
  struct stat info {};
  int error = ::fstat(fd, &info) != 0  ? errno
              : S_ISDIR(info.st_mode)  ? EISDIR
              : !S_ISREG(info.st_mode) ? EINVAL
                                       : 0;
  if (error != 0) {
    ::close(fd);
    fail("cannot read '{}': {}", path.string(), error == EINVAL ? "not a regular file" : reason(error));
  }
  *size = static_cast<size_t>(info.st_size);
  return fd;
}

}  // namespace

std::string read_text_file(const std::filesystem::path& path, size_t max_bytes) {
  MappedFile file(path);
  DS_CHECK(file.bytes().size() <= max_bytes, "'{}' holds {} bytes, more than the {} allowed for such a file",
           path.string(), file.bytes().size(), max_bytes);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  int fd = open_for_reading(path, &size_);
  if (size_ > 0) {
    void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    int error = errno;
    ::close(fd);
    DS_CHECK(mapped != MAP_FAILED, "cannot map '{}' ({} bytes): {}", path.string(), size_, reason(error));
    data_ = static_cast<const std::byte*>(mapped);
  } else {
    ::close(fd);
  }
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

namespace {

uintptr_t page_size() {
  static const auto size = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

// Whether all pages of the bytes can be had, as far as the kernel can tell beforehand.
bool populate(std::span<const std::byte> bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data()) / page_size() * page_size();
  const size_t size = reinterpret_cast<uintptr_t>(bytes.data()) + bytes.size() - begin;
  int result;
  do result = ::madvise(reinterpret_cast<void*>(begin), size, MADV_POPULATE_READ);
  while (result != 0 && (errno == EINTR || errno == EAGAIN));
  return result == 0 || (errno != EFAULT && errno != EHWPOISON);
}

// Pages that hold nothing else leave this process's memory; the page cache keeps them.
void let_go(std::span<const std::byte> bytes) {
  const auto first = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t begin = (first + page_size() - 1) / page_size() * page_size();
  const uintptr_t end = (first + bytes.size()) / page_size() * page_size();
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);  // a hint
}

}  // namespace

void copy_mapped(std::span<const std::byte> from, std::byte* to, const std::filesystem::path& file,
                 size_t offset) {
  constexpr size_t kAtOnce = size_t{16} << 20;
  for (size_t done = 0; done < from.size(); done += kAtOnce) {
    const auto bytes = from.subspan(done, std::min(kAtOnce, from.size() - done));
    DS_CHECK(populate(bytes),
             "cannot read '{}' at offset {}: the file is shorter than when it was opened, or its disk failed",
             file.string(), offset + done);
    std::memcpy(to + done, bytes.data(), bytes.size());
    let_go(bytes);
  }
}

namespace {

// What a rename has to replace: the file that a symbolic link stands for, and nothing that is no file.
std::filesystem::path file_behind(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  DS_CHECK(!std::filesystem::exists(status) || std::filesystem::is_regular_file(status) ||
               std::filesystem::is_directory(status),
           "cannot write '{}': it is not a regular file", path.string());
  if (!std::filesystem::is_symlink(std::filesystem::symlink_status(path, error))) return path;
  const auto target = std::filesystem::weakly_canonical(path, error);
  return error ? path : target;
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path) : path_(file_behind(path)) {
  static std::atomic<unsigned> counter{0};
  temporary_ = path_;
  temporary_ += ".tmp." + std::to_string(::getpid()) + "." + std::to_string(counter++);
  int error = injected_fault();
  if (error == 0) {
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    error = errno;
  }
  DS_CHECK(fd_ >= 0, "cannot create '{}': {}", temporary_.string(), reason(error));
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    int fault = injected_fault();
    // Linux writes at most 2 GiB a call anyway; stay below it.
    ssize_t done =
        fault != 0 ? -1 : ::write(fd_, bytes.data(), std::min<size_t>(bytes.size(), size_t{1} << 30));
    int error = fault != 0 ? fault : errno;
    if (done < 0 && error == EINTR) continue;
    DS_CHECK(done >= 0, "cannot write '{}' at offset {}: {}", path_.string(), offset_, reason(error));
    synced_ = false;
    bytes = bytes.subspan(static_cast<size_t>(done));
    offset_ += static_cast<size_t>(done);
  }
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

void AtomicFile::sync() {
  if (synced_) return;
  int fault = injected_fault();
  DS_CHECK(fault == 0 && ::fsync(fd_) == 0, "cannot sync '{}': {}", path_.string(),
           reason(fault != 0 ? fault : errno));
  synced_ = true;
}

void AtomicFile::commit() {
  sync();
  DS_CHECK(::rename(temporary_.c_str(), path_.c_str()) == 0, "cannot rename '{}' to '{}': {}",
           temporary_.string(), path_.string(), reason(errno));
  temporary_.clear();
  sync_directory(path_.parent_path());
}

void write_text_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

void sync_directory(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.empty() ? std::filesystem::path(".") : path;
  int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DS_CHECK(fd >= 0, "cannot open folder '{}': {}", folder.string(), reason(errno));
  int status = ::fsync(fd);
  int error = errno;
  ::close(fd);
  DS_CHECK(status == 0, "cannot sync folder '{}': {}", folder.string(), reason(error));
}

void set_write_fault(std::function<int()> fault) {
  std::lock_guard lock(g_fault_mutex);
  g_fault = std::move(fault);
}

}  // namespace deepspeed::base
