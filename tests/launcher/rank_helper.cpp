// A compiled program for tests to start as ranks: launcher_rank_helper [--local_rank=N] ACTION
// [MILLISECONDS].
//   socket: rank 0 accepts one connection on the descriptor it was handed; the others connect and say so
//   bind:   rank 0 binds MASTER_PORT itself
//   discover: says which rank it is by the variables of mpirun or srun
//   hold:   rank 0 keeps the socket, all sleep
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "deepspeed/base/env.h"
#include "deepspeed/base/rank_discovery.h"

namespace {

using deepspeed::base::env;

sockaddr_in master_address() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(*env("MASTER_PORT"))));
  ::inet_pton(AF_INET, env("MASTER_ADDR")->c_str(), &address.sin_addr);
  return address;
}

int accept_on_handed_socket() {
  const auto descriptor = env("DS_RENDEZVOUS_FD");
  if (!descriptor) return fmt::print("rank 0 has no socket\n"), 3;
  const int listener = std::stoi(*descriptor);
  sockaddr_in bound{};
  socklen_t length = sizeof(bound);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&bound), &length);
  char text[INET_ADDRSTRLEN] = "";
  ::inet_ntop(AF_INET, &bound.sin_addr, text, sizeof(text));
  const bool right_port = ntohs(bound.sin_port) == ntohs(master_address().sin_port);
  const int peer = ::accept(listener, nullptr, nullptr);
  if (peer < 0) return fmt::print("rank 0 cannot accept: {}\n", std::strerror(errno)), 4;
  fmt::print("rank 0 accepted on {} {}\n", text, right_port ? "MASTER_PORT" : "another port");
  return 0;
}

int connect_to_master() {
  if (env("DS_RENDEZVOUS_FD")) return fmt::print("another rank has the variable\n"), 5;
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = master_address();
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    return fmt::print("cannot connect: {}\n", std::strerror(errno)), 6;
  fmt::print("connected at the first try\n");
  return 0;
}

int bind_master_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = master_address();
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 || ::listen(fd, 1) != 0)
    return fmt::print("cannot bind: {}\n", std::strerror(errno)), 7;
  fmt::print("bound the port itself\n");
  return 0;
}

int say_who_started_us() {
  const auto found = deepspeed::base::discover_rank();
  if (!found) return fmt::print("started by nobody\n"), 8;
  fmt::print("{}: rank {} of {}, local rank {} of {}\n", found->starter, found->rank, found->world_size,
             found->local_rank, found->local_world_size.value_or(0));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[argc - 1]) == "discover") return say_who_started_us();
  const bool is_master = *env("RANK") == "0";
  const std::string action = argc > 2 ? argv[2] : "";
  // The rank that connects does so at once; the one that accepts takes its time.
  if (action == "socket") {
    if (!is_master) return connect_to_master();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    return accept_on_handed_socket();
  }
  if (action == "bind") return is_master ? bind_master_port() : 0;
  if (action == "hold") {
    fmt::print("port {}\n", *env("MASTER_PORT"));
    std::fflush(stdout);
    std::this_thread::sleep_for(std::chrono::milliseconds(std::stoi(argv[3])));
    return 0;
  }
  return 2;
}
