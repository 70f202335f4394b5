// The weights of a Hugging Face model folder in PyTorch's format: pytorch_model.bin, or shards with an index.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/formats/torch_file.h"

namespace deepspeed::formats {

/// All tensors of a model, wherever they lie. Shards are mapped, not read.
class TorchModel {
 public:
  /// A folder with pytorch_model.bin or else pytorch_model.bin.index.json and its shards; or one such file.
  /// Errors name the file: neither is there, an index names a shard that is missing or lies outside the
  /// folder, or a tensor that its shard does not hold.
  static TorchModel open(const std::filesystem::path& folder_or_file);
  /// Whether open(folder) would find weights.
  static bool present(const std::filesystem::path& folder);

  bool contains(std::string_view name) const { return places_.find(name) != places_.end(); }
  /// All names, sorted.
  std::vector<std::string> names() const;
  /// Errors name the tensor and the folder when it is not there.
  const MappedTensor& tensor(std::string_view name) const;
  /// The file that holds the tensor, for messages.
  const std::filesystem::path& file_of(std::string_view name) const;

 private:
  struct Place {
    size_t file;
    size_t tensor;
  };
  const Place& place(std::string_view name) const;
  void add_index(const std::filesystem::path& path);

  std::filesystem::path source_;
  std::vector<TorchFile> files_;
  std::map<std::string, Place, std::less<>> places_;
};

}  // namespace deepspeed::formats
