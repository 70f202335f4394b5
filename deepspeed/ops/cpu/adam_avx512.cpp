#include "deepspeed/ops/cpu/adam_rule.h"
#include "deepspeed/ops/cpu/lanes_avx512.h"

namespace deepspeed::ops::cpu {

void adam_avx512(const UpdateBuffers& buffers, int64_t begin, int64_t end, const AdamConstants& constants) {
  update_loop<LanesAvx512, AdamRule<LanesAvx512>>(buffers, begin, end, constants);
}

}  // namespace deepspeed::ops::cpu
