#include "deepspeed/ops/cpu/attention_backward.h"
#include "deepspeed/ops/cpu/attention_forward.h"
#include "deepspeed/ops/cpu/simd_avx512.h"

namespace deepspeed::ops::cpu {

AttentionKernel attention_avx512() {
  return {forward_scratch<SimdAvx512>, forward<SimdAvx512>, backward_scratch<SimdAvx512>,
          backward<SimdAvx512>};
}

}  // namespace deepspeed::ops::cpu
