#include "deepspeed/formats/encoding.h"

#include <array>
#include <cstring>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/base/error.h"
#include "deepspeed/formats/element_kernels.h"

namespace deepspeed::formats {
namespace {

struct Row {
  BlockType type;
  const char* name;
  size_t elements, bytes;
};

constexpr std::array kRows = {
    Row{BlockType::kQ4_0, "Q4_0", 32, 18},   Row{BlockType::kQ5_0, "Q5_0", 32, 22},
    Row{BlockType::kQ8_0, "Q8_0", 32, 34},   Row{BlockType::kQ4_K, "Q4_K", 256, 144},
    Row{BlockType::kQ5_K, "Q5_K", 256, 176}, Row{BlockType::kQ6_K, "Q6_K", 256, 210}};

constexpr bool rows_follow_the_enum() {
  for (size_t i = 0; i < kRows.size(); ++i)
    if (static_cast<size_t>(kRows[i].type) != i) return false;
  return true;
}
static_assert(rows_follow_the_enum());

const Row& row(BlockType type) { return kRows[static_cast<size_t>(type)]; }

const ElementKernels& kernels() {
  static const ElementKernels& chosen =
      base::best_isa({base::Isa::kScalar, base::Isa::kAvx2}) == base::Isa::kAvx2 ? element_kernels_avx2()
                                                                                 : element_kernels_scalar();
  return chosen;
}

}  // namespace

const char* encoding_name(Encoding encoding) {
  const auto* type = std::get_if<BlockType>(&encoding);
  return type != nullptr ? row(*type).name : dtype_name(std::get<Dtype>(encoding));
}

size_t block_elements(Encoding encoding) {
  const auto* type = std::get_if<BlockType>(&encoding);
  return type != nullptr ? row(*type).elements : 1;
}

size_t block_bytes(Encoding encoding) {
  const auto* type = std::get_if<BlockType>(&encoding);
  return type != nullptr ? row(*type).bytes : dtype_size(std::get<Dtype>(encoding));
}

void decode_blocks(BlockType type, const std::byte* blocks, size_t count, float* out) {
  const auto* from = reinterpret_cast<const uint8_t*>(blocks);
  switch (type) {
    case BlockType::kQ4_0:
      return kernels().q4_0(from, count, out);
    case BlockType::kQ5_0:
      return kernels().q5_0(from, count, out);
    case BlockType::kQ8_0:
      return kernels().q8_0(from, count, out);
    case BlockType::kQ4_K:
      return kernels().q4_k(from, count, out);
    case BlockType::kQ5_K:
      return kernels().q5_k(from, count, out);
    case BlockType::kQ6_K:
      return kernels().q6_k(from, count, out);
  }
}

void convert_to_floats(Dtype dtype, const std::byte* elements, size_t count, float* out) {
  const auto* from = reinterpret_cast<const uint8_t*>(elements);
  switch (dtype) {
    case Dtype::kF32:
      if (count > 0) std::memcpy(out, from, count * sizeof(float));
      return;
    case Dtype::kF64:
      for (size_t i = 0; i < count; ++i) {
        double value;
        std::memcpy(&value, from + 8 * i, sizeof value);
        out[i] = static_cast<float>(value);
      }
      return;
    case Dtype::kF16:
      return kernels().f16(from, count, out);
    case Dtype::kBF16:
      return kernels().bf16(from, count, out);
    default:
      base::fail("elements of type {} are not floating point", dtype_name(dtype));
  }
}

}  // namespace deepspeed::formats
