// The backends of libtorch. Internal to comm.
#pragma once

#include <string>

#include "deepspeed/comm/group_state.h"

namespace deepspeed::comm {

/// Makes Gloo backends that listen on this numeric local address alone.
Connect connect_gloo(const std::string& local_address);

/// Makes NCCL backends on CUDA device `device`. Throws where NCCL was not compiled in.
Connect connect_nccl(int device);

}  // namespace deepspeed::comm
