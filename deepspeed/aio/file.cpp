#include "deepspeed/aio/file.h"

#include <fcntl.h>
#include <linux/stat.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "deepspeed/base/error.h"

namespace deepspeed::aio {
namespace {

constexpr mode_t kPrivate = 0600;

int open_flags(Mode mode) {
  switch (mode) {
    case Mode::kRead:
      return O_RDONLY;
    case Mode::kWrite:
      return O_WRONLY | O_CREAT;
    case Mode::kReadWrite:
      break;
  }
  return O_RDWR | O_CREAT;
}

[[noreturn]] void fail_on(const char* what, const std::string& name, int error) {
  base::fail("cannot {} {}: {}", what, name, std::strerror(error));
}

// Another open file description of the same file, with other flags; also of one without a name.
int reopen(int fd, int flags) {
  return ::open(fmt::format("/proc/self/fd/{}", fd).c_str(), flags | O_CLOEXEC);
}

Geometry direct_geometry(int fd) {
  Geometry geometry{.direct = true};
  struct statx answer {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &answer) != 0 || !(answer.stx_mask & STATX_DIOALIGN))
    return geometry;
  geometry.direct = answer.stx_dio_offset_align > 0;
  geometry.offset_align = std::max<size_t>(kPage, answer.stx_dio_offset_align);
  geometry.memory_align = std::max<size_t>(1, answer.stx_dio_mem_align);
  return geometry;
}

/// A descriptor that is closed here unless it is the caller's.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd, bool owned = true) : fd_(fd), owned_(owned) {}
  ~Descriptor() {
    if (owned_ && fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept { *this = std::move(other); }
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(owned_, other.owned_);
    return *this;
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
  bool owned_ = true;
};

bool is_device(int fd, const std::string& name) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) fail_on("look at", name, errno);
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
    base::fail("{} is neither a regular file nor a block device", name);
  return S_ISBLK(status.st_mode);
}

}  // namespace

struct File::State {
  std::string name;
  Descriptor direct, buffered;
  bool device = false, wanted_direct = false;
  Geometry geometry;
  std::atomic<bool> refused{false};

  // Opens the direct way beside the buffered one, if the file system has one.
  void add_direct() {
    wanted_direct = true;
    const int access = ::fcntl(buffered.get(), F_GETFL) & O_ACCMODE;
    direct = Descriptor(reopen(buffered.get(), access | O_DIRECT));
    if (direct) geometry = direct_geometry(direct.get());
    refused = !geometry.direct;
  }
};

File File::open(const std::filesystem::path& path, Mode mode, Caching caching) {
  auto state = std::make_shared<State>();
  state->name = path.string();
  // Without O_NONBLOCK a FIFO would wait for its other end; with it io_uring would not wait for the disk.
  state->buffered = Descriptor(::open(path.c_str(), open_flags(mode) | O_NONBLOCK | O_CLOEXEC, kPrivate));
  if (!state->buffered) fail_on("open", state->name, errno);
  state->device = is_device(state->buffered.get(), state->name);
  ::fcntl(state->buffered.get(), F_SETFL, ::fcntl(state->buffered.get(), F_GETFL) & ~O_NONBLOCK);
  if (caching == Caching::kDirect) state->add_direct();
  return File(std::move(state));
}

File File::unnamed(const std::filesystem::path& folder, Caching caching) {
  auto state = std::make_shared<State>();
  state->name = (folder / "(unnamed)").string();
  state->buffered = Descriptor(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, kPrivate));
  if (!state->buffered && (errno == EOPNOTSUPP || errno == EISDIR)) {
    std::string path = (folder / "aio_XXXXXX").string();
    state->buffered = Descriptor(::mkostemp(path.data(), O_CLOEXEC));
    if (state->buffered) ::unlink(path.c_str());
  }
  if (!state->buffered) fail_on("make a file in", folder.string(), errno);
  if (caching == Caching::kDirect) state->add_direct();
  return File(std::move(state));
}

File File::borrow(int fd, std::string name) {
  auto state = std::make_shared<State>();
  state->name = std::move(name);
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) fail_on("use descriptor of", state->name, errno);
  state->device = is_device(fd, state->name);
  if (!(flags & O_DIRECT)) {
    state->buffered = Descriptor(fd, false);
    return File(std::move(state));
  }
  state->wanted_direct = true;
  state->direct = Descriptor(fd, false);
  state->geometry = direct_geometry(fd);
  state->buffered = Descriptor(reopen(fd, flags & O_ACCMODE));
  if (!state->buffered) fail_on("reopen", state->name, errno);
  return File(std::move(state));
}

const std::string& File::name() const { return state_->name; }

int64_t File::size() const {
  struct stat status {};
  if (::fstat(state_->buffered.get(), &status) != 0) fail_on("look at", name(), errno);
  if (!state_->device) return status.st_size;
  uint64_t bytes = 0;
  if (::ioctl(state_->buffered.get(), BLKGETSIZE64, &bytes) != 0)
    fail_on("ask for the size of", name(), errno);
  return static_cast<int64_t>(bytes);
}

void File::reserve(int64_t bytes) const {
  if (state_->device) return;
  const int64_t now = size();
  if (bytes <= now) return;
  int result = 0;
  while ((result = ::fallocate(state_->buffered.get(), 0, now, bytes - now)) != 0 && errno == EINTR) {
  }
  if (result != 0 && errno != EOPNOTSUPP && errno != ENOSYS)
    base::fail("cannot make {} {} bytes long: {}", name(), bytes, std::strerror(errno));
}

void File::resize(int64_t bytes) const {
  if (::ftruncate(state_->buffered.get(), bytes) != 0)
    base::fail("cannot make {} {} bytes long: {}", name(), bytes, std::strerror(errno));
}

void File::sync() const {
  if (::fdatasync(state_->buffered.get()) != 0) fail_on("sync", name(), errno);
}

Geometry File::geometry() const {
  Geometry geometry = state_->geometry;
  geometry.direct = geometry.direct && !state_->refused;
  return geometry;
}

int File::direct_fd() const { return geometry().direct ? state_->direct.get() : state_->buffered.get(); }
int File::buffered_fd() const { return state_->buffered.get(); }
void File::give_up_direct() const { state_->refused = true; }
bool File::direct_refused() const { return state_->wanted_direct && state_->refused; }

}  // namespace deepspeed::aio
