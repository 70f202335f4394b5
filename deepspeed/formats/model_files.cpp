#include "deepspeed/formats/model_files.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <system_error>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/hub_cache.h"
#include "deepspeed/formats/weight_map.h"

namespace deepspeed::formats {
namespace {

namespace fs = std::filesystem;

// Of each model one file: of the parts of one the first that is there.
std::vector<fs::path> gguf_models(const fs::path& folder) {
  std::set<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (at->path().extension() == ".gguf") names.insert(at->path().filename().string());
  std::vector<fs::path> models;
  std::set<std::string> stems;
  for (const std::string& name : names) {
    const auto split = parse_gguf_split_name(name);
    if (split && !stems.insert(fmt::format("{}/{}", split->stem, split->count)).second) continue;
    models.push_back(folder / name);
  }
  return models;
}

std::string file_names(const std::vector<fs::path>& paths) {
  std::vector<std::string> names;
  for (const fs::path& path : paths) names.push_back(shown(path.filename().string()));
  return fmt::format("{}", fmt::join(names, ", "));
}

fs::path only_gguf(const fs::path& folder) {
  const auto models = gguf_models(folder);
  DS_CHECK(!models.empty(),
           "no model weights: '{}' holds neither model.safetensors nor pytorch_model.bin, neither of their "
           "indices (*.index.json), and no .gguf file",
           folder.string());
  DS_CHECK(models.size() == 1, "'{}' holds several models: name one of {}", folder.string(),
           file_names(models));
  return models.front();
}

ModelFormat format_of_index(const fs::path& path) {
  const std::string shard = read_weight_map(path).begin()->second;
  return fs::path(shard).extension() == ".safetensors" ? ModelFormat::kSafetensors : ModelFormat::kTorch;
}

ModelFormat format_of_file(const fs::path& path) {
  if (path.extension() == ".json") return format_of_index(path);
  const base::MappedFile file(path);
  const auto bytes = file.bytes();
  if (GgufFile::recognizes(bytes)) return ModelFormat::kGguf;
  if (TorchFile::recognizes(bytes)) return ModelFormat::kTorch;
  // A safetensors file has its header's length first.
  const bool safetensors =
      path.extension() == ".safetensors" || (bytes.size() > 8 && bytes[8] == std::byte{'{'});
  DS_CHECK(safetensors,
           "'{}' holds no model weights: it begins as neither a safetensors, a PyTorch nor a GGUF file",
           path.string());
  return ModelFormat::kSafetensors;
}

}  // namespace

const char* model_format_name(ModelFormat format) {
  switch (format) {
    case ModelFormat::kSafetensors:
      return "safetensors";
    case ModelFormat::kTorch:
      return "PyTorch";
    case ModelFormat::kGguf:
      return "GGUF";
  }
  return "";
}

bool ModelFiles::present(const fs::path& folder) {
  return SafetensorsModel::present(folder) || TorchModel::present(folder) || gguf_models(folder).size() == 1;
}

ModelFiles ModelFiles::open(const fs::path& folder_or_file) {
  ModelFiles model;
  model.source_ = folder_or_file;
  DS_CHECK(is_there(folder_or_file), "no model weights: '{}' does not exist", folder_or_file.string());
  fs::path path = folder_or_file;
  if (fs::is_directory(path)) {
    if (SafetensorsModel::present(path))
      model.format_ = ModelFormat::kSafetensors;
    else if (TorchModel::present(path))
      model.format_ = ModelFormat::kTorch;
    else {
      model.format_ = ModelFormat::kGguf;
      path = only_gguf(path);
    }
  } else {
    model.format_ = format_of_file(path);
  }
  switch (model.format_) {
    case ModelFormat::kSafetensors:
      model.add(SafetensorsModel::open(path));
      break;
    case ModelFormat::kTorch:
      model.add(TorchModel::open(path));
      break;
    case ModelFormat::kGguf:
      model.add(open_gguf_files(path));
      break;
  }
  return model;
}

ModelFiles ModelFiles::open_all(const std::vector<fs::path>& files) {
  DS_CHECK(!files.empty(), "no model weights: no file is named");
  ModelFiles model;
  model.source_ = files.front();
  for (const fs::path& file : files) {
    ModelFiles part = open(file);
    if (model.parts_.empty()) model.format_ = part.format_;
    DS_CHECK(part.format_ == model.format_ && part.format_ != ModelFormat::kGguf,
             "'{}' is a {} file among {} files; a list of files is safetensors or PyTorch's", file.string(),
             model_format_name(part.format_), model_format_name(model.format_));
    for (const auto& [name, place] : part.places_) {
      const auto [known, is_new] = model.places_.emplace(name, place);
      DS_CHECK(is_new, "'{}' and '{}' both hold a tensor '{}'", known->second.file->string(),
               place.file->string(), shown(name));
    }
    model.parts_.push_back(std::move(part));
  }
  return model;
}

ModelFiles ModelFiles::of_gguf(GgufFile file) {
  ModelFiles model;
  model.format_ = ModelFormat::kGguf;
  model.source_ = file.path();
  std::vector<GgufFile> files;
  files.push_back(std::move(file));
  model.add(std::move(files));
  return model;
}

void ModelFiles::add(SafetensorsModel model) {
  safetensors_ = std::make_unique<SafetensorsModel>(std::move(model));
  safetensors_tensors_ = std::make_unique<std::vector<MappedTensor>>();
  const auto names = safetensors_->names();
  safetensors_tensors_->reserve(names.size());  // places point into it
  std::vector<std::shared_ptr<const fs::path>> paths;
  for (const std::string& name : names) {
    const TensorInfo& info = safetensors_->info(name);
    const fs::path& file = safetensors_->file_of(name);
    if (paths.empty() || *paths.back() != file) paths.push_back(std::make_shared<const fs::path>(file));
    safetensors_tensors_->push_back({name,
                                     info.dtype,
                                     info.shape,
                                     {},
                                     safetensors_->data(name),
                                     paths.back(),
                                     safetensors_->offset(name)});
    const MappedTensor& tensor = safetensors_tensors_->back();
    places_.emplace(tensor.name, Place{&tensor, &file});
  }
}

void ModelFiles::add(TorchModel model) {
  torch_ = std::make_unique<TorchModel>(std::move(model));
  for (const std::string& name : torch_->names()) {
    const MappedTensor& tensor = torch_->tensor(name);
    places_.emplace(tensor.name, Place{&tensor, &torch_->file_of(name)});
  }
}

void ModelFiles::add(std::vector<GgufFile> files) {
  gguf_ = std::make_unique<std::vector<GgufFile>>(std::move(files));
  for (const GgufFile& file : *gguf_)
    for (const MappedTensor& tensor : file.tensors())
      places_.emplace(tensor.name, Place{&tensor, &file.path()});
}

std::vector<std::string> ModelFiles::names() const {
  std::vector<std::string> names;
  names.reserve(places_.size());
  for (const auto& [name, place] : places_) names.emplace_back(name);
  return names;
}

const ModelFiles::Place& ModelFiles::place(std::string_view name) const {
  const auto found = places_.find(name);
  DS_CHECK(found != places_.end(), "'{}' has no tensor '{}'", source_.string(), shown(name));
  return found->second;
}

const MappedTensor& ModelFiles::tensor(std::string_view name) const { return *place(name).tensor; }

const fs::path& ModelFiles::file_of(std::string_view name) const { return *place(name).file; }

const GgufMetadata* ModelFiles::gguf_metadata() const { return gguf_ ? &gguf_->front().metadata() : nullptr; }

fs::path find_model(const std::string& name) {
  DS_CHECK(!name.empty() && name.find('\0') == std::string::npos, "a model's name is empty");
  const fs::path path = expand_home(name);
  if (is_there(path)) return path;
  const size_t at = name.find('@');
  const std::string model = name.substr(0, at), revision = at == name.npos ? "main" : name.substr(at + 1);
  DS_CHECK(is_hub_name(model), "no model '{}': there is no such folder or file", shown(path.string()));
  try {
    return find_in_hub_cache(model, revision);
  } catch (const base::Error& error) {
    base::fail("no model '{}': there is no such folder or file, and {}", shown(name), error.what());
  }
}

}  // namespace deepspeed::formats
