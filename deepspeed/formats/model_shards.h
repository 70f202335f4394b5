// The weight files of a model folder, one or several with an index, whatever their format. Used by
// safetensors_model.cpp and torch_model.cpp.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/dtype.h"
#include "deepspeed/formats/weight_map.h"

namespace deepspeed::formats {

/// What the files of a format are called.
struct ModelFileNames {
  const char* single;
  const char* index;
};

inline bool is_there(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

inline bool holds_weights(const std::filesystem::path& folder, const ModelFileNames& names) {
  return is_there(folder / names.single) || is_there(folder / names.index);
}

/// File is made of a path and has tensors(), each with a name, and find(name). Files are opened, not read.
template <class File>
class ModelShards {
 public:
  /// Errors name the file: neither of the names is in the folder, an index names a file that is missing or
  /// lies outside the folder, or a tensor that its file does not hold.
  ModelShards(const std::filesystem::path& folder_or_file, const ModelFileNames& names);

  bool contains(std::string_view name) const { return places_.find(name) != places_.end(); }
  /// All names, sorted.
  std::vector<std::string> names() const;
  const File& file(std::string_view name) const { return files_[place(name).file]; }
  const auto& tensor(std::string_view name) const {
    const Place& at = place(name);
    return files_[at.file].tensors()[at.tensor];
  }
  const File& first() const { return files_.front(); }

 private:
  struct Place {
    size_t file, tensor;
  };
  const Place& place(std::string_view name) const;
  void add_index(const std::filesystem::path& path);

  std::filesystem::path source_;
  std::vector<File> files_;
  std::map<std::string, Place, std::less<>> places_;
};

template <class File>
ModelShards<File>::ModelShards(const std::filesystem::path& folder_or_file, const ModelFileNames& names)
    : source_(folder_or_file) {
  DS_CHECK(is_there(source_), "no model weights: '{}' does not exist", source_.string());
  const bool folder = std::filesystem::is_directory(source_);
  DS_CHECK(!folder || holds_weights(source_, names), "no model weights: '{}' holds neither {} nor {}",
           source_.string(), names.single, names.index);
  const std::filesystem::path file = !folder                            ? source_
                                     : is_there(source_ / names.single) ? source_ / names.single
                                                                        : source_ / names.index;
  if (file.extension() == ".json") {
    add_index(file);
    return;
  }
  files_.emplace_back(file);
  const auto& tensors = files_.back().tensors();
  for (size_t i = 0; i < tensors.size(); ++i) places_.emplace(tensors[i].name, Place{0, i});
}

template <class File>
void ModelShards<File>::add_index(const std::filesystem::path& path) {
  std::map<std::string, size_t> opened;
  for (const auto& [name, shard] : read_weight_map(path)) {
    const auto [at, is_new] = opened.emplace(shard, files_.size());
    if (is_new) {
      const std::filesystem::path file = path.parent_path() / shard;
      DS_CHECK(is_there(file), "'{}' names the file '{}', which does not exist", path.string(), shown(shard));
      files_.emplace_back(file);
    }
    const File& file = files_[at->second];
    const auto* tensor = file.find(name);
    DS_CHECK(tensor != nullptr, "'{}' says that tensor '{}' lies in '{}', which does not hold it",
             path.string(), shown(name), shown(shard));
    places_.emplace(name, Place{at->second, static_cast<size_t>(tensor - file.tensors().data())});
  }
}

template <class File>
std::vector<std::string> ModelShards<File>::names() const {
  std::vector<std::string> names;
  names.reserve(places_.size());
  for (const auto& [name, place] : places_) names.push_back(name);
  return names;
}

template <class File>
const typename ModelShards<File>::Place& ModelShards<File>::place(std::string_view name) const {
  const auto found = places_.find(name);
  DS_CHECK(found != places_.end(), "'{}' has no tensor '{}'", source_.string(), shown(name));
  return found->second;
}

}  // namespace deepspeed::formats
