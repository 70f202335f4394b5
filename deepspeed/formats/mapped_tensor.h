// A tensor where it lies in a mapped file, whatever the file's format: what it is, and reading any range of
// its elements. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "deepspeed/formats/encoding.h"

namespace deepspeed::formats {

/// Valid as long as the object that holds its file. Whoever makes one has checked that every element lies in
/// `bytes` and that it has no more elements than they can hold.
struct MappedTensor {
  std::string name;
  Encoding encoding = Dtype::kF32;
  std::vector<int64_t> shape;  // outermost dimension first
  /// Elements between neighbours of each dimension; empty when the tensor is contiguous. Only tensors of a
  /// Dtype have them.
  std::vector<int64_t> strides;
  /// Little-endian, from the first element on; aligned only to the element size at best.
  std::span<const std::byte> bytes;
  /// The mapped file that `bytes` are part of, from `offset` on; null: they are in memory.
  std::shared_ptr<const std::filesystem::path> file{};
  size_t offset = 0;

  size_t elements() const { return *element_count(shape); }
  bool contiguous() const { return strides.empty(); }
  /// The element type, or nothing when they are quantized in blocks.
  std::optional<Dtype> dtype() const;
};

/// Whether strides give elements in the order of the file without gaps.
bool strides_are_contiguous(std::span<const int64_t> shape, std::span<const int64_t> strides);

/// Says of the tensors that lie in `mapping`, all of `file`, that they do.
void place_in_file(std::span<MappedTensor> tensors, std::span<const std::byte> mapping,
                   const std::filesystem::path& file);

/// Both of the following are Errors, naming file and offset, where the file is shorter by now or cannot be
/// read, which touching `bytes` would end the process for.
///
/// Copies elements [begin, begin + count) in the order of the shape, as they are encoded, out.size() = count
/// * dtype_size. Gathers those of a tensor that is not contiguous. An Error for quantized tensors.
void read_elements(const MappedTensor& tensor, size_t begin, size_t count, std::span<std::byte> out);

/// The same elements, decoded to floats: any floating-point type, any quantized one. An Error for whole
/// numbers.
void read_floats(const MappedTensor& tensor, size_t begin, size_t count, float* out);

}  // namespace deepspeed::formats
