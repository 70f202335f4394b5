// How a file encodes a tensor's elements: one by one, or in blocks that share scales. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "deepspeed/formats/dtype.h"

namespace deepspeed::formats {

/// The quantized types of ggml that can be decoded (ggml/src/ggml-common.h has their layouts). A block is 32
/// elements, of the _K types 256.
enum class BlockType { kQ4_0, kQ5_0, kQ8_0, kQ4_K, kQ5_K, kQ6_K };

using Encoding = std::variant<Dtype, BlockType>;

/// "BF16", "Q4_K".
const char* encoding_name(Encoding encoding);
/// Elements of one block; 1 for a Dtype.
size_t block_elements(Encoding encoding);
/// Bytes of one block, or of one element.
size_t block_bytes(Encoding encoding);

/// Decodes `count` blocks into count * block_elements floats, with the arithmetic of ggml and of the gguf
/// package: every operation rounded to fp32, in the same order.
void decode_blocks(BlockType type, const std::byte* blocks, size_t count, float* out);
/// Converts `count` elements; types that are not floating point are an Error. Neither side needs alignment
/// beyond its own of `out`.
void convert_to_floats(Dtype dtype, const std::byte* elements, size_t count, float* out);

}  // namespace deepspeed::formats
