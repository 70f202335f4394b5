// Reading and writing one safetensors file (github.com/huggingface/safetensors, format description in its
// README): 8 bytes little-endian header length, a JSON header, then the tensors' bytes without holes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "deepspeed/base/file.h"
#include "deepspeed/formats/dtype.h"

namespace deepspeed::formats {

/// Longest header that is read or written, as in the reference library.
inline constexpr size_t kMaxHeaderBytes = 100'000'000;
/// Most dimensions of a tensor, as in libtorch.
inline constexpr size_t kMaxDimensions = 64;

/// One mapped file whose header was validated when it was opened: length within the file, well-formed JSON,
/// known types, no duplicate name, shape x type = bytes, and tensors that tile the data section exactly.
/// Every violation is an Error that names the file and the tensor. Nothing is copied: pages are read when
/// data is touched.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  /// Reads a file image in memory, which must outlive the result; `name` stands for the path in messages.
  static SafetensorsFile from_bytes(std::span<const std::byte> image, const std::filesystem::path& name);

  /// In the order of the data section.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  /// The tensor, or null. Valid as long as this object is neither moved nor destroyed.
  const TensorInfo* find(std::string_view name) const;
  /// The tensor's bytes, little-endian and contiguous; aligned only to the element size at best.
  std::span<const std::byte> data(const TensorInfo& info) const;
  /// Where the tensor begins in the file.
  size_t offset(const TensorInfo& info) const { return data_begin_ + info.begin; }
  /// Copies bytes of the tensor, from byte `begin` of it on. Error naming file and offset where the file is
  /// shorter by now or cannot be read, which touching data() would end the process for.
  void read(const TensorInfo& info, size_t begin, std::span<std::byte> out) const;
  /// The header's "__metadata__", empty when absent.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  SafetensorsFile() = default;
  void parse(std::span<const std::byte> image);

  std::filesystem::path path_;
  std::optional<base::MappedFile> mapped_;
  std::span<const std::byte> data_;
  size_t data_begin_ = 0;  // of data_ in the file
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, size_t> index_;  // views of the names in tensors_
  std::map<std::string, std::string> metadata_;
};

/// A tensor's bytes in its file, of data or read.
size_t byte_count(const TensorView& view);

/// Writes the tensors straight from their views (never a second copy) and replaces `path` atomically: on any
/// Error the old file is still there. Header, order (widest type first, then by name) and padding are those
/// of the reference writer. Errors: duplicate or reserved names, data that does not match shape and type,
/// invalid UTF-8.
void write_safetensors(const std::filesystem::path& path, const std::vector<TensorView>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// What write_safetensors does, into an open file and without committing it, for callers that replace several
/// files together. `name` stands for the file in messages.
void write_safetensors(base::AtomicFile& file, const std::filesystem::path& name,
                       const std::vector<TensorView>& tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace deepspeed::formats
