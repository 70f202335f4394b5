// Element types of tensors in files, and what a file says about one tensor. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace deepspeed::formats {

/// Element types by their safetensors names: F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, BOOL.
enum class Dtype { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU8, kBool, kU16, kU32, kU64 };

/// Bytes of one element.
size_t dtype_size(Dtype dtype);
/// The safetensors name, for example "BF16".
const char* dtype_name(Dtype dtype);
/// The type of that safetensors name, or nothing when it is unknown.
std::optional<Dtype> parse_dtype(std::string_view name);

/// Elements of a shape; nothing when a dimension is negative or the product does not fit in 63 bits. A shape
/// without dimensions is a scalar: 1 element.
std::optional<size_t> element_count(std::span<const int64_t> shape);

/// "[2, 3]", for messages.
std::string shape_text(std::span<const int64_t> shape);
/// A file's text for messages: control characters become '?', and what is long is cut, so that a message
/// stays one line.
std::string shown(std::string_view text);

/// One tensor of a file: bytes [begin, end) of the file's data section.
struct TensorInfo {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;
  size_t begin = 0;
  size_t end = 0;
};

/// One tensor to be written: contiguous little-endian elements that the caller keeps alive, or gives when
/// they are written.
struct TensorView {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> data;
  /// In place of `data`: puts all of the tensor's bytes into the memory it is given.
  std::function<void(std::span<std::byte>)> read = {};
};

}  // namespace deepspeed::formats
