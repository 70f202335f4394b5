#include "deepspeed/ops/cpu/attention_backward.h"
#include "deepspeed/ops/cpu/attention_forward.h"
#include "deepspeed/ops/cpu/simd_scalar.h"

namespace deepspeed::ops::cpu {

AttentionKernel attention_scalar() {
  return {forward_scratch<SimdScalar>, forward<SimdScalar>, backward_scratch<SimdScalar>,
          backward<SimdScalar>};
}

}  // namespace deepspeed::ops::cpu
