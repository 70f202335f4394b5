#include "deepspeed/base/error.h"
#include "deepspeed/comm/backends.h"

namespace deepspeed::comm {

Connect connect_nccl(int) {
  base::fail(
      "the NCCL backend is not available in this build: configure with -DDEEPSPEED_CUDA=ON, or use gloo");
}

}  // namespace deepspeed::comm
