#include "deepspeed/base/error.h"
#include "deepspeed/ops/cuda/kernels.h"

namespace deepspeed::ops::cuda {
namespace {

[[noreturn]] void absent(const char* op) {
  base::fail("{}: the tensors are on a GPU, and this build has no CUDA kernels; build the cuda preset", op);
}

}  // namespace

void adam_step(const cpu::UpdateBuffers&, int64_t, const cpu::AdamConstants&, Stream) { absent("adam_step"); }
void dropout(const DropoutArgs&, Stream) { absent("dropout"); }

}  // namespace deepspeed::ops::cuda
