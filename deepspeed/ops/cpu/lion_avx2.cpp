#include "deepspeed/ops/cpu/lanes_avx2.h"
#include "deepspeed/ops/cpu/lion_rule.h"

namespace deepspeed::ops::cpu {

void lion_avx2(const UpdateBuffers& buffers, int64_t begin, int64_t end, const LionConstants& constants) {
  update_loop<LanesAvx2, LionRule<LanesAvx2>>(buffers, begin, end, constants);
}

}  // namespace deepspeed::ops::cpu
