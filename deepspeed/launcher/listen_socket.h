// The socket on which rank 0 answers the others, bound before any rank exists so that none comes too early.
#pragma once

#include <cstdint>
#include <string>

namespace deepspeed::launcher {

/// A TCP socket, close-on-exec, bound to exactly one address and listening. Owns the descriptor. Movable.
class ListenSocket {
 public:
  /// `address`: name or number of an interface of this machine. `port`: 0 picks a free one. Errors name
  /// address and port and what to do: port in use, address not of this machine, no such name.
  ListenSocket(const std::string& address, int port);
  ~ListenSocket();
  ListenSocket(ListenSocket&& other) noexcept;
  ListenSocket& operator=(ListenSocket&& other) noexcept;

  int fd() const { return fd_; }
  int port() const { return port_; }
  /// Gives the port up.
  void close();

 private:
  int fd_ = -1;
  int port_ = 0;
};

}  // namespace deepspeed::launcher
