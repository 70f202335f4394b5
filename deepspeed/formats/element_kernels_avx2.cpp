#include "deepspeed/formats/element_kernels_impl.h"

namespace deepspeed::formats {

const ElementKernels& element_kernels_avx2() { return kKernels; }

}  // namespace deepspeed::formats
