// The tensors of a file that torch.save wrote (PyTorch's torch/serialization.py): a zip file with a pickle
// and a file a storage, or, before version 1.6, pickles followed by the storages.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/base/file.h"
#include "deepspeed/formats/mapped_tensor.h"
#include "deepspeed/formats/unpickler.h"

namespace deepspeed::formats {

/// One mapped file. Nothing in it is run: see unpickler.h. Every tensor is checked to lie within its storage,
/// and every storage to have the size that the pickle says. Tensors may share storages and need not be
/// contiguous; one with more elements than its storage (expanded) is refused. Names of nested dicts and lists
/// are joined by dots; values that are not tensors are passed over. Every violation is an Error that names
/// the file and the tensor or offset.
class TorchFile {
 public:
  explicit TorchFile(const std::filesystem::path& path);
  /// Reads a file image in memory, which must outlive the result; `name` stands for the path in messages.
  static TorchFile from_bytes(std::span<const std::byte> image, const std::filesystem::path& name);
  /// Whether the image begins as such a file does.
  static bool recognizes(std::span<const std::byte> image);

  /// In the order of the file.
  const std::vector<MappedTensor>& tensors() const { return tensors_; }
  /// The tensor, or null.
  const MappedTensor* find(std::string_view name) const;
  const std::filesystem::path& path() const { return path_; }

 private:
  TorchFile() = default;
  void parse(std::span<const std::byte> image);

  std::filesystem::path path_;
  std::optional<base::MappedFile> mapped_;
  std::vector<MappedTensor> tensors_;
  std::map<std::string_view, size_t> index_;  // views of the names in tensors_
};

}  // namespace deepspeed::formats
