#include "deepspeed/ops/cpu/attention_backward.h"
#include "deepspeed/ops/cpu/attention_forward.h"
#include "deepspeed/ops/cpu/simd_avx2.h"

namespace deepspeed::ops::cpu {

AttentionKernel attention_avx2() {
  return {forward_scratch<SimdAvx2>, forward<SimdAvx2>, backward_scratch<SimdAvx2>, backward<SimdAvx2>};
}

}  // namespace deepspeed::ops::cpu
