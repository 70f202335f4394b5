#include "deepspeed/comm/shm_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <sstream>
#include <utility>

#include "deepspeed/base/error.h"

namespace deepspeed::comm {
namespace {

constexpr const char* kName = "deepspeed-comm";
constexpr size_t kPrefix = 4096;  // holds the secret, and keeps data() on a page of its own
constexpr size_t kSecretLength = 32;

std::string read_link(const std::string& path) {
  std::array<char, 256> target{};
  const ssize_t length = readlink(path.c_str(), target.data(), target.size());
  return length > 0 ? std::string(target.data(), static_cast<size_t>(length)) : "";
}

// Process numbers mean the same to two processes exactly when these agree.
std::string host_identity() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  return boot + "/" + read_link("/proc/self/ns/pid");
}

std::string random_secret() {
  std::random_device device;
  std::string secret;
  while (secret.size() < kSecretLength) secret += fmt::format("{:08x}", device());
  return secret;
}

struct Offer {
  std::string host, secret;
  int64_t pid = 0;
  int fd = -1;
  size_t mapped = 0;
};

Offer parse_offer(const std::string& text) {
  Offer offer;
  std::istringstream fields(text);
  fields >> offer.host >> offer.pid >> offer.fd >> offer.mapped >> offer.secret;
  DS_CHECK(fields && offer.secret.size() == kSecretLength && offer.mapped > kPrefix,
           "'{}' does not describe shared memory", text);
  return offer;
}

std::shared_ptr<std::byte> map(int fd, size_t bytes) {
  void* const address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  DS_CHECK(address != MAP_FAILED, "{} bytes of shared memory cannot be mapped: {}", bytes,
           std::strerror(errno));
  return {static_cast<std::byte*>(address), [bytes](std::byte* mapped) { munmap(mapped, bytes); }};
}

// What this process has mapped of its own making.
class OwnMappings {
 public:
  void add(const std::string& secret, const std::shared_ptr<std::byte>& mapped) {
    const std::lock_guard lock(mutex_);
    std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
    known_[secret] = mapped;
  }
  std::shared_ptr<std::byte> find(const std::string& secret) {
    const std::lock_guard lock(mutex_);
    const auto found = known_.find(secret);
    return found == known_.end() ? nullptr : found->second.lock();
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<std::byte>> known_;
};

OwnMappings& own_mappings() {
  static OwnMappings mappings;
  return mappings;
}

// Closes a descriptor unless it is released.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
  int release() { return std::exchange(fd, -1); }
};

}  // namespace

SharedMemory::SharedMemory(int fd, std::shared_ptr<std::byte> mapped, size_t bytes)
    : fd_(fd), mapped_(std::move(mapped)), mapped_bytes_(bytes) {}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      mapped_(std::move(other.mapped_)),
      mapped_bytes_(other.mapped_bytes_),
      offer_(std::move(other.offer_)) {}

SharedMemory::~SharedMemory() { close_descriptor(); }

SharedMemory SharedMemory::create(size_t bytes) {
  Descriptor file{memfd_create(kName, MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  DS_CHECK(file.fd >= 0, "no shared memory: {}", std::strerror(errno));
  const size_t mapped = kPrefix + bytes;
  if (const int error = posix_fallocate(file.fd, 0, static_cast<off_t>(mapped)); error != 0)
    base::fail("{} bytes of shared memory cannot be reserved: {}", mapped, std::strerror(error));
  fcntl(file.fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
  auto address = map(file.fd, mapped);
  const auto secret = random_secret();
  std::memcpy(address.get(), secret.data(), secret.size());
  own_mappings().add(secret, address);
  const int fd = file.release();
  SharedMemory memory(fd, std::move(address), mapped);
  memory.offer_ = fmt::format("{} {} {} {} {}", host_identity(), getpid(), fd, mapped, secret);
  return memory;
}

SharedMemory SharedMemory::open(const std::string& text) {
  const Offer offer = parse_offer(text);
  DS_CHECK(offer.host == host_identity(), "it is on another host or in another container");
  if (auto mapped = own_mappings().find(offer.secret)) return {-1, std::move(mapped), offer.mapped};
  const auto path = fmt::format("/proc/{}/fd/{}", offer.pid, offer.fd);
  // Opening whatever else the descriptor could be by now might block or have effects.
  DS_CHECK(read_link(path).find(kName) != std::string::npos, "{} is not our shared memory", path);
  const Descriptor file{::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK)};
  DS_CHECK(file.fd >= 0, "{} cannot be opened: {}", path, std::strerror(errno));
  struct stat status {};
  DS_CHECK(fstat(file.fd, &status) == 0 && static_cast<size_t>(status.st_size) == offer.mapped,
           "{} has another size than was offered", path);
  auto mapped = map(file.fd, offer.mapped);
  DS_CHECK(std::memcmp(mapped.get(), offer.secret.data(), kSecretLength) == 0,
           "{} is not the memory that was offered", path);
  return {-1, std::move(mapped), offer.mapped};
}

void SharedMemory::close_descriptor() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

std::byte* SharedMemory::data() const { return mapped_.get() + kPrefix; }
size_t SharedMemory::size() const { return mapped_bytes_ - kPrefix; }

}  // namespace deepspeed::comm
