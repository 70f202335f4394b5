// The weights of a Hugging Face model folder: one safetensors file, or shards with an index.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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

  bool contains(std::string_view name) const { return places_.find(name) != places_.end(); }
  /// All names, sorted.
  std::vector<std::string> names() const;
  /// Errors name the tensor and the folder when it is not there.
  const TensorInfo& info(std::string_view name) const;
  std::span<const std::byte> data(std::string_view name) const;
  /// As SafetensorsFile::read.
  void read(std::string_view name, size_t begin, std::span<std::byte> out) const;
  /// The file that holds the tensor, for messages.
  const std::filesystem::path& file_of(std::string_view name) const;
  /// The first file's metadata.
  const std::map<std::string, std::string>& metadata() const { return files_.front().metadata(); }

 private:
  struct Place {
    size_t file;
    size_t tensor;
  };
  const Place& place(std::string_view name) const;
  void add_file(const std::filesystem::path& path);
  void add_index(const std::filesystem::path& path);

  std::filesystem::path source_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, Place, std::less<>> places_;
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
