// IPv4 and IPv6 addresses and the one socket this module opens itself. Internal to comm.
#pragma once

#include <string>

namespace deepspeed::comm {

/// The numeric address of a host name, IPv4 where it has one. Throws base::Error naming the host.
std::string resolve(const std::string& host);
/// A socket listening on exactly that numeric address; port 0 lets the system choose. Close-on-exec.
int listen_on(const std::string& address, int port);
/// The port a listening socket is bound to; an Error when fd is no listening socket.
int listening_port(int fd);
/// The numeric address of this host from which `address` is reached.
std::string local_address_towards(const std::string& address, int port);

}  // namespace deepspeed::comm
