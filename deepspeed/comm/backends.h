// The backends of libtorch, and ours. Internal to comm.
#pragma once

#include <string>

#include "deepspeed/comm/group_state.h"
#include "deepspeed/comm/rendezvous.h"

namespace deepspeed::comm {

/// Makes Gloo backends that listen on this numeric local address alone.
Connect connect_gloo(const std::string& local_address);

/// Makes backends that pass tensors through memory which the ranks share, and hand whatever they have no form
/// of their own for to one that `gloo` makes. Where the ranks of a group have no memory in common, or
/// `switched_off` is true on one of them, it is an Error if `required`, else the group is left to `gloo`
/// alone. All ranks must use this Connect.
Connect connect_shm(Connect gloo, bool required, bool switched_off);

/// What `backend` stands for on the CPU (rendezvous.h); reads DS_SHM.
Connect connect_on_cpu(Backend backend, const std::string& local_address);

/// Makes NCCL backends on CUDA device `device`. Throws where NCCL was not compiled in.
Connect connect_nccl(int device);

}  // namespace deepspeed::comm
