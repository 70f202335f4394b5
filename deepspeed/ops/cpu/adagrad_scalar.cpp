#include "deepspeed/ops/cpu/adagrad_rule.h"
#include "deepspeed/ops/cpu/lanes_scalar.h"

namespace deepspeed::ops::cpu {

void adagrad_scalar(const UpdateBuffers& buffers, int64_t begin, int64_t end,
                    const AdagradConstants& constants) {
  update_loop<LanesScalar, AdagradRule<LanesScalar>>(buffers, begin, end, constants);
}

AdagradKernel adagrad_kernel(base::Isa isa) {
  if (isa >= base::Isa::kAvx512) return adagrad_avx512;
  return isa >= base::Isa::kAvx2 ? adagrad_avx2 : adagrad_scalar;
}

}  // namespace deepspeed::ops::cpu
