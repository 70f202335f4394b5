#include "deepspeed/models/code_bits.h"

#include <ATen/ATen.h>

#include "deepspeed/base/error.h"

namespace deepspeed::models {
namespace {

int offset_of(int64_t bits) { return bits == 4 ? 8 : 0; }

}  // namespace

at::Tensor to_bits(const at::Tensor& codes, int64_t bits) {
  if (bits == 8) return codes;
  const int64_t out = codes.size(0), in = codes.size(1), width = (in * bits + 7) / 8;
  const at::Tensor result = at::zeros({out, width}, at::kByte);
  const auto* from = codes.const_data_ptr<int8_t>();
  auto* to = result.data_ptr<uint8_t>();
  for (int64_t n = 0; n < out; ++n)
    for (int64_t k = 0; k < in; ++k) {
      const unsigned code = static_cast<unsigned>(from[n * in + k] + offset_of(bits)) << (k * bits % 8);
      uint8_t* at = to + n * width + k * bits / 8;
      at[0] = static_cast<uint8_t>(at[0] | code);
      if (code > 255) at[1] = static_cast<uint8_t>(at[1] | code >> 8);
    }
  return result;
}

at::Tensor from_bits(const at::Tensor& stored, int64_t bits, int64_t in) {
  const int64_t out = stored.size(0), width = (in * bits + 7) / 8;
  DS_CHECK(stored.size(1) == width && stored.scalar_type() == (bits == 8 ? at::kChar : at::kByte),
           "codes of {} bits for {} inputs take {} bytes a row, the file has {}", bits, in, width,
           stored.size(1));
  if (bits == 8) return stored;
  const at::Tensor result = at::empty({out, in}, at::kChar);
  const auto* from = stored.const_data_ptr<uint8_t>();
  auto* to = result.data_ptr<int8_t>();
  for (int64_t n = 0; n < out; ++n)
    for (int64_t k = 0; k < in; ++k) {
      const int64_t bit = k * bits, byte = n * width + bit / 8;
      unsigned both = from[byte];
      if (bit % 8 + bits > 8) both |= static_cast<unsigned>(from[byte + 1]) << 8;
      to[n * in + k] =
          static_cast<int8_t>(static_cast<int>(both >> (bit % 8) & ((1U << bits) - 1)) - offset_of(bits));
    }
  return result;
}

}  // namespace deepspeed::models
