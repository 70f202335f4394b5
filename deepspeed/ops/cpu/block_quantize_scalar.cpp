#include "deepspeed/ops/cpu/block_quantize_loop.h"
#include "deepspeed/ops/cpu/lanes_scalar.h"

namespace deepspeed::ops::cpu {

BlockQuantizeKernels block_quantize_scalar() { return block_quantize_of<LanesScalar>(); }

BlockQuantizeKernels block_quantize_kernels(base::Isa isa) {
  if (isa >= base::Isa::kAvx512) return block_quantize_avx512();
  return isa >= base::Isa::kAvx2 ? block_quantize_avx2() : block_quantize_scalar();
}

}  // namespace deepspeed::ops::cpu
