#include "deepspeed/ops/cpu/dropout_loop.h"
#include "deepspeed/ops/cpu/simd_scalar.h"

namespace deepspeed::ops::cpu {

void dropout_scalar(const DropoutArgs& args, int64_t begin, int64_t end) {
  dropout<SimdScalar>(args, begin, end);
}

void philox_words_scalar(uint64_t seed, uint64_t stream, int64_t begin, int64_t end, uint32_t* words) {
  philox_words<SimdScalar>(seed, stream, begin, end, words);
}

}  // namespace deepspeed::ops::cpu
