#include "deepspeed/formats/torch_model.h"

#include <system_error>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/weight_map.h"

namespace deepspeed::formats {
namespace {

namespace fs = std::filesystem;
constexpr const char* kSingleName = "pytorch_model.bin";
constexpr const char* kIndexName = "pytorch_model.bin.index.json";

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

}  // namespace

bool TorchModel::present(const fs::path& folder) {
  return is_there(folder / kSingleName) || is_there(folder / kIndexName);
}

TorchModel TorchModel::open(const fs::path& folder_or_file) {
  TorchModel model;
  model.source_ = folder_or_file;
  DS_CHECK(is_there(folder_or_file), "no model weights: '{}' does not exist", folder_or_file.string());
  const bool folder = fs::is_directory(folder_or_file);
  DS_CHECK(!folder || present(folder_or_file), "no model weights: '{}' holds neither {} nor {}",
           folder_or_file.string(), kSingleName, kIndexName);
  const fs::path file = !folder                                  ? folder_or_file
                        : is_there(folder_or_file / kSingleName) ? folder_or_file / kSingleName
                                                                 : folder_or_file / kIndexName;
  if (file.extension() == ".json") {
    model.add_index(file);
    return model;
  }
  model.files_.emplace_back(file);
  const auto& tensors = model.files_.back().tensors();
  for (size_t i = 0; i < tensors.size(); ++i) model.places_.emplace(tensors[i].name, Place{0, i});
  return model;
}

void TorchModel::add_index(const fs::path& path) {
  std::map<std::string, size_t> opened;
  for (const auto& [name, shard] : read_weight_map(path)) {
    const auto [at, is_new] = opened.emplace(shard, files_.size());
    if (is_new) {
      const fs::path file = path.parent_path() / shard;
      DS_CHECK(is_there(file), "'{}' names the file '{}', which does not exist", path.string(), shown(shard));
      files_.emplace_back(file);
    }
    const TorchFile& file = files_[at->second];
    const MappedTensor* tensor = file.find(name);
    DS_CHECK(tensor != nullptr, "'{}' says that tensor '{}' lies in '{}', which does not hold it",
             path.string(), shown(name), shown(shard));
    places_.emplace(name, Place{at->second, static_cast<size_t>(tensor - file.tensors().data())});
  }
}

std::vector<std::string> TorchModel::names() const {
  std::vector<std::string> names;
  names.reserve(places_.size());
  for (const auto& [name, place] : places_) names.push_back(name);
  return names;
}

const TorchModel::Place& TorchModel::place(std::string_view name) const {
  const auto found = places_.find(name);
  DS_CHECK(found != places_.end(), "'{}' has no tensor '{}'", source_.string(), shown(name));
  return found->second;
}

const MappedTensor& TorchModel::tensor(std::string_view name) const {
  const Place& at = place(name);
  return files_[at.file].tensors()[at.tensor];
}

const fs::path& TorchModel::file_of(std::string_view name) const { return files_[place(name).file].path(); }

}  // namespace deepspeed::formats
