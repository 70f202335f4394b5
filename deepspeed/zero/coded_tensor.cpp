#include "deepspeed/zero/coded_tensor.h"

#include "deepspeed/base/error.h"

namespace deepspeed::zero {
namespace {

ops::Element element_of(const at::Tensor& values) {
  DS_CHECK(values.is_contiguous() && values.device().is_cpu(),
           "block quantization needs contiguous tensors on the CPU");
  switch (values.scalar_type()) {
    case at::kFloat:
      return ops::Element::kFp32;
    case at::kBFloat16:
      return ops::Element::kBf16;
    case at::kHalf:
      return ops::Element::kFp16;
    default:
      base::fail("block quantization of {}: fp32, bf16 or fp16", c10::toString(values.scalar_type()));
  }
}

}  // namespace

void encode(const ops::BlockCode& code, const at::Tensor& values, uint8_t* coded) {
  ops::block_quantize(code, values.const_data_ptr(), element_of(values), values.numel(), coded);
}

void decode(const ops::BlockCode& code, std::span<const uint8_t* const> coded, const at::Tensor& values) {
  ops::block_dequantize(code, coded, values.numel(), values.mutable_data_ptr(), element_of(values));
}

}  // namespace deepspeed::zero
