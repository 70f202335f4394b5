#include "deepspeed/ops/cpu/block_quantize_loop.h"
#include "deepspeed/ops/cpu/lanes_avx2.h"

namespace deepspeed::ops::cpu {

BlockQuantizeKernels block_quantize_avx2() { return block_quantize_of<LanesAvx2>(); }

}  // namespace deepspeed::ops::cpu
