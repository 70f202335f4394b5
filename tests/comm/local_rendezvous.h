// Ranks of this host that meet at a port of it.
#pragma once

#include "deepspeed/comm/rendezvous.h"

namespace deepspeed::comm {

/// `fd` is rank 0's listening socket; -1: rank 0 makes it.
inline Rendezvous local_rendezvous(int rank, int size, int port, int fd = -1) {
  Rendezvous r;
  r.rank = r.local_rank = rank;
  r.world_size = r.local_world_size = size;
  r.master_addr = "127.0.0.1";
  r.master_port = port;
  r.listen_fd = rank == 0 ? fd : -1;
  r.timeout = std::chrono::seconds(20);
  return r;
}

}  // namespace deepspeed::comm
