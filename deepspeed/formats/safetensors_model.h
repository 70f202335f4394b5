// The weights of a Hugging Face model folder: one safetensors file, or shards with an index.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/formats/model_shards.h"
#include "deepspeed/formats/safetensors.h"

namespace deepspeed::formats {

/// All tensors of a model, wherever they lie. Shards are mapped, not read.
class SafetensorsModel {
 public:
  /// A folder with model.safetensors or else model.safetensors.index.json and its shards; or one such file.
  /// Errors name the file: neither is there, an index names a shard that is missing or lies outside the
  /// folder, or a tensor that its shard does not hold.
  static SafetensorsModel open(const std::filesystem::path& folder_or_file);
  /// Whether open(folder) would find weights.
  static bool present(const std::filesystem::path& folder);

  bool contains(std::string_view name) const { return shards_.contains(name); }
  /// All names, sorted.
  std::vector<std::string> names() const { return shards_.names(); }
  /// Errors name the tensor and the folder when it is not there.
  const TensorInfo& info(std::string_view name) const { return shards_.tensor(name); }
  std::span<const std::byte> data(std::string_view name) const;
  /// Where the tensor begins in its file.
  size_t offset(std::string_view name) const { return shards_.file(name).offset(info(name)); }
  /// As SafetensorsFile::read.
  void read(std::string_view name, size_t begin, std::span<std::byte> out) const;
  /// The file that holds the tensor, for messages.
  const std::filesystem::path& file_of(std::string_view name) const { return shards_.file(name).path(); }
  /// The first file's metadata.
  const std::map<std::string, std::string>& metadata() const { return shards_.first().metadata(); }

 private:
  explicit SafetensorsModel(ModelShards<SafetensorsFile> shards) : shards_(std::move(shards)) {}

  ModelShards<SafetensorsFile> shards_;
};

/// Writes tensors into a folder (made when absent) under the names that transformers reads: model.safetensors
/// when all fit in `max_shard_bytes`, else model-00001-of-0000N.safetensors in the given order and
/// model.safetensors.index.json. All bytes are on disk under temporary names before the first file takes its
/// final name, so that a full disk leaves the previous model in place; files of a previous model that the new
/// one does not use are removed last.
void write_safetensors_model(const std::filesystem::path& folder, const std::vector<TensorView>& tensors,
                             size_t max_shard_bytes = 5'000'000'000,
                             const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

}  // namespace deepspeed::formats
