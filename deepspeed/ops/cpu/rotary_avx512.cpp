#include "deepspeed/ops/cpu/rotary_loop.h"
#include "deepspeed/ops/cpu/simd_avx512.h"

namespace deepspeed::ops::cpu {

void rotary_avx512(const RotaryArgs& args, int64_t begin, int64_t end) {
  rotary<SimdAvx512>(args, begin, end);
}

}  // namespace deepspeed::ops::cpu
