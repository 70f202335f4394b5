// GGUF, the single-file format of llama.cpp (github.com/ggml-org/ggml, docs/gguf.md): versions 2 and 3, one
// file or several.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/base/file.h"
#include "deepspeed/formats/gguf_metadata.h"
#include "deepspeed/formats/mapped_tensor.h"

namespace deepspeed::formats {

/// One mapped file whose header was validated when it was opened: counts that the file has room for, known
/// value and tensor types, no duplicate key or name, whole blocks, and tensors that are aligned, lie within
/// the file and do not overlap. Every violation is an Error that names the file and the tensor or offset.
class GgufFile {
 public:
  explicit GgufFile(const std::filesystem::path& path);
  /// Reads a file image in memory, which must outlive the result; `name` stands for the path in messages.
  static GgufFile from_bytes(std::span<const std::byte> image, const std::filesystem::path& name);
  /// Whether the image begins as such a file does.
  static bool recognizes(std::span<const std::byte> image);

  uint32_t version() const { return version_; }
  const GgufMetadata& metadata() const { return *metadata_; }
  /// In the order of the file's list. Shapes have the outermost dimension first, where ggml has it last.
  const std::vector<MappedTensor>& tensors() const { return tensors_; }
  /// The tensor, or null.
  const MappedTensor* find(std::string_view name) const;
  const std::filesystem::path& path() const { return path_; }
  /// A file image of its metadata without any tensors.
  std::vector<std::byte> metadata_image() const;

 private:
  GgufFile() = default;
  void parse(std::span<const std::byte> image);

  std::filesystem::path path_;
  std::optional<base::MappedFile> mapped_;
  uint32_t version_ = 0;
  std::span<const std::byte> header_;  // up to the end of the metadata
  std::optional<GgufMetadata> metadata_;
  std::vector<MappedTensor> tensors_;
  std::map<std::string_view, size_t> index_;  // views of the names in tensors_
};

/// The name of a GGUF file without tensors that stands for tokenizer.json and its like in a folder that was
/// made of one.
constexpr const char* kGgufCompanion = "tokenizer.gguf";

/// The files of a model: `path` alone, or, where its "split.count" says so, all of NAME-00001-of-0000N.gguf
/// beside it, whichever of them `path` is. The first holds the metadata. Errors name the file: one is
/// missing, is not the part that its name says, or the tensors are not as many as "split.tensors.count".
std::vector<GgufFile> open_gguf_files(const std::filesystem::path& path);

/// NAME and the number of files in "NAME-00002-of-00003.gguf"; nothing for other names.
struct GgufSplitName {
  std::string stem;
  size_t number = 0, count = 0;  // from 1
};
std::optional<GgufSplitName> parse_gguf_split_name(const std::string& file_name);

}  // namespace deepspeed::formats
