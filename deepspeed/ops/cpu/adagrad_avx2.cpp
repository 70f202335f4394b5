#include "deepspeed/ops/cpu/adagrad_rule.h"
#include "deepspeed/ops/cpu/lanes_avx2.h"

namespace deepspeed::ops::cpu {

void adagrad_avx2(const UpdateBuffers& buffers, int64_t begin, int64_t end,
                  const AdagradConstants& constants) {
  update_loop<LanesAvx2, AdagradRule<LanesAvx2>>(buffers, begin, end, constants);
}

}  // namespace deepspeed::ops::cpu
