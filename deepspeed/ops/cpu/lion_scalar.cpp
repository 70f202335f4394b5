#include "deepspeed/ops/cpu/lanes_scalar.h"
#include "deepspeed/ops/cpu/lion_rule.h"

namespace deepspeed::ops::cpu {

void lion_scalar(const UpdateBuffers& buffers, int64_t begin, int64_t end, const LionConstants& constants) {
  update_loop<LanesScalar, LionRule<LanesScalar>>(buffers, begin, end, constants);
}

LionKernel lion_kernel(base::Isa isa) {
  if (isa >= base::Isa::kAvx512) return lion_avx512;
  return isa >= base::Isa::kAvx2 ? lion_avx2 : lion_scalar;
}

}  // namespace deepspeed::ops::cpu
