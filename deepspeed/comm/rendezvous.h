// How the ranks of a job find each other.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "deepspeed/comm/group.h"

namespace deepspeed::comm {

enum class Backend { kAuto, kGloo, kShm, kNccl };

/// "gloo", "shm", "nccl" or "" for kAuto; anything else is an Error.
Backend parse_backend(std::string_view name);

/// Where rank 0 listens when nobody says otherwise, as in PyTorch and DeepSpeed.
inline constexpr int kDefaultPort = 29500;

struct Rendezvous {
  int rank = 0;
  int local_rank = 0;
  int world_size = 1;
  int local_world_size = 1;  // ranks on this host
  std::string master_addr;
  int master_port = 0;
  int listen_fd = -1;  // rank 0: an already listening socket for master_addr:master_port; -1 to bind one
  std::chrono::milliseconds timeout{600000};
};

/// From RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT, LOCAL_WORLD_SIZE (or LOCAL_SIZE; the world
/// size when unset), DS_RENDEZVOUS_FD (rank 0: a listening socket inherited from the launcher) and
/// DEEPSPEED_TIMEOUT (minutes). With RANK, LOCAL_RANK and WORLD_SIZE unset, `auto_mpi_discovery` takes them
/// from the variables of mpirun and srun (base/rank_discovery.h), as DeepSpeed's init_distributed does;
/// MASTER_PORT is then `distributed_port` unless set, MASTER_ADDR 127.0.0.1 unless set or ranks run on
/// several hosts. With none of all these: one rank. With only some of the first five set: an Error that names
/// the missing ones.
Rendezvous rendezvous_from_env(bool auto_mpi_discovery = true, int distributed_port = kDefaultPort);

/// Joins the world; collective over all its ranks. Listening sockets are bound to the address by which this
/// host reaches MASTER_ADDR (on rank 0's host: MASTER_ADDR itself), never to all interfaces. kAuto is, for
/// the world and every group made from it, kShm where all its ranks run on one host and DS_SHM=0 is not set,
/// else kGloo, while engine and models compute on the CPU. kShm passes tensors through memory that the ranks
/// share; where they have none in common, it is an Error. kNccl computes on the GPU that has this rank's
/// number on its host, one rank a GPU; what lies on the CPU travels as kAuto has it. A world of one opens no
/// socket.
/// With Gloo and kShm, SIGPIPE is ignored from then on unless the program handles it: a dead peer must be an
/// Error.
GroupPtr init_world(const Rendezvous& rendezvous, Backend backend = Backend::kAuto);

}  // namespace deepspeed::comm
