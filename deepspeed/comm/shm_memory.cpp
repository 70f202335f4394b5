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

}  // namespace

SharedMemory::SharedMemory(int fd, size_t mapped) : fd_(fd), mapped_bytes_(mapped) {
  void* const address = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) {
    const int error = errno;
    close_descriptor();
    base::fail("{} bytes of shared memory cannot be mapped: {}", mapped, std::strerror(error));
  }
  mapped_ = static_cast<std::byte*>(address);
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      mapped_(std::exchange(other.mapped_, nullptr)),
      mapped_bytes_(other.mapped_bytes_),
      offer_(std::move(other.offer_)) {}

SharedMemory::~SharedMemory() {
  if (mapped_) munmap(mapped_, mapped_bytes_);
  close_descriptor();
}

SharedMemory SharedMemory::create(size_t bytes) {
  const int fd = memfd_create(kName, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  DS_CHECK(fd >= 0, "no shared memory: {}", std::strerror(errno));
  const size_t mapped = kPrefix + bytes;
  if (const int error = posix_fallocate(fd, 0, static_cast<off_t>(mapped)); error != 0) {
    close(fd);
    base::fail("{} bytes of shared memory cannot be reserved: {}", mapped, std::strerror(error));
  }
  fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
  SharedMemory memory(fd, mapped);
  const auto secret = random_secret();
  std::memcpy(memory.mapped_, secret.data(), secret.size());
  memory.offer_ = fmt::format("{} {} {} {} {}", host_identity(), getpid(), fd, mapped, secret);
  return memory;
}

SharedMemory SharedMemory::open(const std::string& text) {
  const Offer offer = parse_offer(text);
  DS_CHECK(offer.host == host_identity(), "it is on another host or in another container");
  const auto path = fmt::format("/proc/{}/fd/{}", offer.pid, offer.fd);
  // Opening whatever else the descriptor could be by now might block or have effects.
  DS_CHECK(read_link(path).find(kName) != std::string::npos, "{} is not our shared memory", path);
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK);
  DS_CHECK(fd >= 0, "{} cannot be opened: {}", path, std::strerror(errno));
  struct stat status {};
  if (fstat(fd, &status) != 0 || static_cast<size_t>(status.st_size) != offer.mapped) {
    close(fd);
    base::fail("{} has another size than was offered", path);
  }
  SharedMemory memory(fd, offer.mapped);
  memory.close_descriptor();
  DS_CHECK(std::memcmp(memory.mapped_, offer.secret.data(), kSecretLength) == 0,
           "{} is not the memory that was offered", path);
  return memory;
}

void SharedMemory::close_descriptor() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

std::byte* SharedMemory::data() const { return mapped_ + kPrefix; }
size_t SharedMemory::size() const { return mapped_bytes_ - kPrefix; }

}  // namespace deepspeed::comm
