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
void rms_norm(const RmsNormArgs&, Stream) { absent("rms_norm"); }
void rotary(const RotaryArgs&, Stream) { absent("rotary"); }
void gated(const GatedArgs&, Stream) { absent("gated activation"); }
void round_rows(const RoundRowsArgs&, Stream) { absent("rounding of rows"); }
void packed_few_rows(const FewRows&, Stream) { absent("packed_linear"); }
void packed_dequantize(const DevicePacked&, const int64_t*, int64_t, cpu::Element, void*, Stream) {
  absent("packed weight");
}

}  // namespace deepspeed::ops::cuda
