#include "deepspeed/ops/cpu/rotary_loop.h"
#include "deepspeed/ops/cpu/simd_avx2.h"

namespace deepspeed::ops::cpu {

void rotary_avx2(const RotaryArgs& args, int64_t begin, int64_t end) { rotary<SimdAvx2>(args, begin, end); }

}  // namespace deepspeed::ops::cpu
