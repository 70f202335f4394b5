#include "deepspeed/comm/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "deepspeed/base/error.h"

namespace deepspeed::comm {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_storage);
  sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
  int port() const {
    if (storage.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(storage).sin6_port);
    return ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port);
  }
};

struct Socket {
  explicit Socket(int descriptor) : fd(descriptor) {}
  ~Socket() {
    if (fd >= 0) close(fd);
  }
  Socket(const Socket&) = delete;
  int release() {
    const int kept = fd;
    fd = -1;
    return kept;
  }
  int fd;
};

Address look_up(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  DS_CHECK(error == 0, "MASTER_ADDR '{}' cannot be resolved: {}", host, gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  const addrinfo* best = found;
  for (const addrinfo* a = found; a; a = a->ai_next) {
    if (a->ai_family == AF_INET && best->ai_family != AF_INET) best = a;
  }
  Address address;
  std::memcpy(&address.storage, best->ai_addr, best->ai_addrlen);
  address.length = best->ai_addrlen;
  return address;
}

std::string numeric(Address& address) {
  char text[NI_MAXHOST];
  const int error = getnameinfo(address.raw(), address.length, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  DS_CHECK(error == 0, "a socket address cannot be written out: {}", gai_strerror(error));
  return text;
}

}  // namespace

std::string resolve(const std::string& host) {
  auto address = look_up(host, 0);
  return numeric(address);
}

int listen_on(const std::string& host, int port) {
  auto address = look_up(host, port);
  Socket socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  DS_CHECK(socket.fd >= 0, "no socket for the rendezvous on {}:{}: {}", host, port, std::strerror(errno));
  const int yes = 1;
  setsockopt(socket.fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const bool listening = bind(socket.fd, address.raw(), address.length) == 0 && listen(socket.fd, 1024) == 0;
  DS_CHECK(listening || errno != EADDRINUSE,
           "port {} of {} is already in use: choose another MASTER_PORT (--master_port)", port, host);
  DS_CHECK(listening || errno != EADDRNOTAVAIL,
           "MASTER_ADDR {} is no address of this host, where rank 0 runs: set it to rank 0's address", host);
  DS_CHECK(listening, "rank 0 cannot listen on {}:{}: {}", host, port, std::strerror(errno));
  return socket.release();
}

int listening_port(int fd) {
  int listening = 0;
  socklen_t length = sizeof listening;
  const bool ok = getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening;
  DS_CHECK(ok,
           "DS_RENDEZVOUS_FD={} is not a listening socket: unset it, or start through the deepspeed command",
           fd);
  Address address;
  DS_CHECK(getsockname(fd, address.raw(), &address.length) == 0, "descriptor {}: {}", fd,
           std::strerror(errno));
  return address.port();
}

std::string local_address_towards(const std::string& host, int port) {
  auto remote = look_up(host, port);
  // Connecting a datagram socket sends nothing: it only makes the kernel choose the route.
  Socket socket(::socket(remote.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const bool routed = socket.fd >= 0 && connect(socket.fd, remote.raw(), remote.length) == 0;
  DS_CHECK(routed, "MASTER_ADDR {} cannot be reached from this host: {}", host, std::strerror(errno));
  Address local;
  DS_CHECK(getsockname(socket.fd, local.raw(), &local.length) == 0, "no local address towards {}: {}", host,
           std::strerror(errno));
  return numeric(local);
}

}  // namespace deepspeed::comm
