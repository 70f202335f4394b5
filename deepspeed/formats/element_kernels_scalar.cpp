#include "deepspeed/formats/element_kernels_impl.h"

namespace deepspeed::formats {

const ElementKernels& element_kernels_scalar() { return kKernels; }

}  // namespace deepspeed::formats
