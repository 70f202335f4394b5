#include "deepspeed/ops/cpu/rotary_loop.h"
#include "deepspeed/ops/cpu/simd_scalar.h"

namespace deepspeed::ops::cpu {

void rotary_scalar(const RotaryArgs& args, int64_t begin, int64_t end) {
  rotary<SimdScalar>(args, begin, end);
}

}  // namespace deepspeed::ops::cpu
