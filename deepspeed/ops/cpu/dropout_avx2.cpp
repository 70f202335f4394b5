#include "deepspeed/ops/cpu/dropout_loop.h"
#include "deepspeed/ops/cpu/simd_avx2.h"

namespace deepspeed::ops::cpu {

void dropout_avx2(const DropoutArgs& args, int64_t begin, int64_t end) {
  dropout<SimdAvx2>(args, begin, end);
}

void philox_words_avx2(uint64_t seed, uint64_t stream, int64_t begin, int64_t end, uint32_t* words) {
  philox_words<SimdAvx2>(seed, stream, begin, end, words);
}

}  // namespace deepspeed::ops::cpu
