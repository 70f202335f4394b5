#include "deepspeed/launcher/pid_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "deepspeed/base/error.h"

namespace deepspeed::launcher {

PidFile::PidFile(pid_t front, pid_t launcher) {
  const std::filesystem::path path = "/tmp/" + std::to_string(front) + ".deepspeed";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  DS_CHECK(fd >= 0, "--save_pid: cannot create {}: {}; remove it if it is left over", path.string(),
           std::strerror(errno));
  path_ = path;
  const std::string text = std::to_string(launcher) + "\n";
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  ::close(fd);
  if (written) return;
  ::unlink(path.c_str());
  base::fail("--save_pid: cannot write {}: {}", path.string(), std::strerror(error));
}

PidFile::~PidFile() { ::unlink(path_.c_str()); }

}  // namespace deepspeed::launcher
