#include "deepspeed/launcher/listen_socket.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "deepspeed/base/error.h"

namespace deepspeed::launcher {
namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Addresses resolve(const std::string& address, int port) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  // "localhost" may mean ::1 as well; ranks are told one address, so IPv4 is preferred where there is a
  // choice.
  addrinfo* found = nullptr;
  int status = 0;
  for (int family : {AF_INET, AF_UNSPEC}) {
    hints.ai_family = family;
    status = ::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found);
    if (status == 0) break;
  }
  DS_CHECK(status == 0, "--master_addr {}: {}; give an address of this machine", address,
           ::gai_strerror(status));
  return {found, &::freeaddrinfo};
}

int bound_port(int fd) {
  sockaddr_storage name{};
  socklen_t length = sizeof(name);
  char service[NI_MAXSERV] = "0";
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &length) == 0)
    ::getnameinfo(reinterpret_cast<sockaddr*>(&name), length, nullptr, 0, service, sizeof(service),
                  NI_NUMERICSERV);
  return std::stoi(service);
}

[[noreturn]] void fail_to_bind(const std::string& address, int port, int error) {
  if (error == EADDRINUSE)
    base::fail(
        "port {} on {} is in use by another program; give --master_port another number, or 0 for any free "
        "port",
        port, address);
  if (error == EADDRNOTAVAIL)
    base::fail(
        "--master_addr {} is not an address of this machine; give one of its own, or leave it out for "
        "127.0.0.1",
        address);
  if (error == EACCES)
    base::fail("port {} on {} may not be used without privileges; give --master_port a number above 1023",
               port, address);
  base::fail("cannot listen on {} port {}: {}", address, port, std::strerror(error));
}

}  // namespace

ListenSocket::ListenSocket(const std::string& address, int port) {
  Addresses where = resolve(address, port);
  fd_ = ::socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  DS_CHECK(fd_ >= 0, "cannot make a socket for {}: {}", address, std::strerror(errno));
  // Lets a port be used again at once after a launch whose connections still linger; it does not share a live
  // port.
  const int on = 1;
  ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(fd_, where->ai_addr, where->ai_addrlen) != 0 || ::listen(fd_, SOMAXCONN) != 0) {
    const int error = errno;
    close();
    fail_to_bind(address, port, error);
  }
  port_ = bound_port(fd_);
}

ListenSocket::~ListenSocket() { close(); }

ListenSocket::ListenSocket(ListenSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), port_(other.port_) {}

ListenSocket& ListenSocket::operator=(ListenSocket&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(port_, other.port_);
  return *this;
}

void ListenSocket::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace deepspeed::launcher
