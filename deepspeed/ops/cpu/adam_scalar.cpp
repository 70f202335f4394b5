#include "deepspeed/ops/cpu/adam_rule.h"
#include "deepspeed/ops/cpu/lanes_scalar.h"

namespace deepspeed::ops::cpu {

void adam_scalar(const UpdateBuffers& buffers, int64_t begin, int64_t end, const AdamConstants& constants) {
  update_loop<LanesScalar, AdamRule<LanesScalar>>(buffers, begin, end, constants);
}

AdamKernel adam_kernel(base::Isa isa) {
  if (isa >= base::Isa::kAvx512) return adam_avx512;
  return isa >= base::Isa::kAvx2 ? adam_avx2 : adam_scalar;
}

}  // namespace deepspeed::ops::cpu
