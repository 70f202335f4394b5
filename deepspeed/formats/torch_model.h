// The weights of a Hugging Face model folder in PyTorch's format: pytorch_model.bin, or shards with an index.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/formats/model_shards.h"
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

  bool contains(std::string_view name) const { return shards_.contains(name); }
  /// All names, sorted.
  std::vector<std::string> names() const { return shards_.names(); }
  /// Errors name the tensor and the folder when it is not there.
  const MappedTensor& tensor(std::string_view name) const { return shards_.tensor(name); }
  /// The file that holds the tensor, for messages.
  const std::filesystem::path& file_of(std::string_view name) const { return shards_.file(name).path(); }

 private:
  explicit TorchModel(ModelShards<TorchFile> shards) : shards_(std::move(shards)) {}

  ModelShards<TorchFile> shards_;
};

}  // namespace deepspeed::formats
