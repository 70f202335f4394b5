#include "deepspeed/ops/activation.h"

#include "deepspeed/ops/kernels.h"

namespace deepspeed::ops {

const cpu::ActivationKernels& activation_kernels(base::Isa isa) {
  return kernels_for(isa, cpu::kActivationScalar, cpu::kActivationAvx2, cpu::kActivationAvx512);
}

}  // namespace deepspeed::ops
