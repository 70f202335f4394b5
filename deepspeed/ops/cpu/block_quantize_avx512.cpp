#include "deepspeed/ops/cpu/block_quantize_loop.h"
#include "deepspeed/ops/cpu/lanes_avx512.h"

namespace deepspeed::ops::cpu {

BlockQuantizeKernels block_quantize_avx512() { return block_quantize_of<LanesAvx512>(); }

}  // namespace deepspeed::ops::cpu
