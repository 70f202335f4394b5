#include "deepspeed/ops/cpu/lanes_avx512.h"
#include "deepspeed/ops/cpu/lion_rule.h"

namespace deepspeed::ops::cpu {

void lion_avx512(const UpdateBuffers& buffers, int64_t begin, int64_t end, const LionConstants& constants) {
  update_loop<LanesAvx512, LionRule<LanesAvx512>>(buffers, begin, end, constants);
}

}  // namespace deepspeed::ops::cpu
