#include "deepspeed/zero/coded_tensor.h"

#include "deepspeed/base/error.h"
#include "deepspeed/ops/kernels.h"

namespace deepspeed::zero {
namespace {

ops::Element element_of(const at::Tensor& values) {
  DS_CHECK(values.is_contiguous(), "block quantization needs contiguous tensors");
  return ops::checked_element("block quantization", "what is coded", values);
}

}  // namespace

void encode(const ops::BlockCode& code, const at::Tensor& values, uint8_t* coded) {
  ops::block_quantize(code, values.const_data_ptr(), element_of(values), values.numel(), coded);
}

void decode(const ops::BlockCode& code, std::span<const uint8_t* const> coded, const at::Tensor& values) {
  ops::block_dequantize(code, coded, values.numel(), values.mutable_data_ptr(), element_of(values));
}

}  // namespace deepspeed::zero
