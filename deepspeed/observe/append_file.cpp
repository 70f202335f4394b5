#include "deepspeed/observe/append_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "deepspeed/base/error.h"

namespace deepspeed::observe {

AppendFile::AppendFile(const std::filesystem::path& path, bool exclusive) : path_(path) {
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (exclusive ? O_EXCL : 0), 0644);
  DS_CHECK(fd_ >= 0 || (exclusive && errno == EEXIST), "cannot write '{}': {}", path.string(),
           std::strerror(errno));
}

AppendFile::~AppendFile() {
  if (fd_ >= 0) ::close(fd_);
}

AppendFile::AppendFile(AppendFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

std::optional<std::string> AppendFile::append(std::string_view record) {
  struct stat before {};
  if (::fstat(fd_, &before) != 0)
    return fmt::format("cannot write '{}': {}", path_.string(), std::strerror(errno));
  int error = 0;
  for (size_t done = 0; done < record.size() && error == 0;) {
    const ssize_t n = ::write(fd_, record.data() + done, record.size() - done);
    if (n > 0)
      done += static_cast<size_t>(n);
    else if (n == 0 || errno != EINTR)
      error = n == 0 ? ENOSPC : errno;
  }
  if (error == 0) return std::nullopt;
  // A device or FIFO keeps no size; there is nothing to cut off then.
  if (S_ISREG(before.st_mode) && ::ftruncate(fd_, before.st_size) != 0)
    return fmt::format("cannot write '{}': {}, and its last record is torn", path_.string(),
                       std::strerror(error));
  return fmt::format("cannot write '{}': {}", path_.string(), std::strerror(error));
}

void prepare_folder(const std::filesystem::path& folder, const char* key) {
  const auto refuse = [&](const std::string& reason) {
    base::fail("{}.output_path: cannot write in '{}': {}", key, folder.string(), reason);
  };
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) refuse(error.message());
  // A page of text, as access() knows nothing of full disks.
  std::string probe = (folder / ".probe.XXXXXX").string();
  const int fd = ::mkostemp(probe.data(), O_CLOEXEC);
  if (fd < 0) refuse(std::strerror(errno));
  const std::string page(4096, '\n');
  const ssize_t written = ::write(fd, page.data(), page.size());
  const int reason = written < 0 ? errno : ENOSPC;
  ::close(fd);
  ::unlink(probe.c_str());
  if (written != static_cast<ssize_t>(page.size())) refuse(std::strerror(reason));
}

}  // namespace deepspeed::observe
