#include "deepspeed/formats/safetensors_model.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>
#include <set>
#include <system_error>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/weight_map.h"

namespace deepspeed::formats {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
constexpr const char* kSingleName = "model.safetensors";
constexpr const char* kIndexName = "model.safetensors.index.json";

constexpr ModelFileNames kNames{kSingleName, kIndexName};

using Shard = std::vector<TensorView>;

std::vector<Shard> split(const std::vector<TensorView>& tensors, size_t max_shard_bytes) {
  std::vector<Shard> shards(1);
  size_t bytes = 0;
  for (const TensorView& view : tensors) {
    const size_t own = byte_count(view);
    const bool fits = own <= max_shard_bytes && bytes <= max_shard_bytes - own;
    if (!shards.back().empty() && !fits) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(view);
    bytes += own;
  }
  return shards;
}

std::string shard_name(size_t number, size_t count) {
  return count == 1 ? kSingleName : fmt::format("model-{:05}-of-{:05}.safetensors", number + 1, count);
}

std::string index_text(const std::vector<Shard>& shards) {
  size_t total = 0;
  Json weight_map = Json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    for (const TensorView& view : shards[i]) {
      total += byte_count(view);
      weight_map[view.name] = shard_name(i, shards.size());
    }
  }
  return Json{{"metadata", {{"total_size", total}}}, {"weight_map", std::move(weight_map)}}.dump(2) + "\n";
}

bool is_shard_name(const std::string& name) {
  size_t number = 0, count = 0;
  return std::sscanf(name.c_str(), "model-%5zu-of-%5zu", &number, &count) == 2 && count > 1 && number > 0 &&
         name == shard_name(number - 1, count);
}

void remove_others(const fs::path& folder, const std::set<std::string>& kept) {
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool ours = name == kSingleName || name == kIndexName || is_shard_name(name);
    if (ours && !kept.contains(name)) stale.push_back(entry.path());
  }
  for (const fs::path& path : stale) fs::remove(path);
}

}  // namespace

bool SafetensorsModel::present(const fs::path& folder) { return holds_weights(folder, kNames); }

SafetensorsModel SafetensorsModel::open(const fs::path& folder_or_file) {
  return SafetensorsModel(ModelShards<SafetensorsFile>(folder_or_file, kNames));
}

std::span<const std::byte> SafetensorsModel::data(std::string_view name) const {
  return shards_.file(name).data(info(name));
}

void SafetensorsModel::read(std::string_view name, size_t begin, std::span<std::byte> out) const {
  shards_.file(name).read(info(name), begin, out);
}

void write_safetensors_model(const fs::path& folder, const std::vector<TensorView>& tensors,
                             size_t max_shard_bytes, const std::map<std::string, std::string>& metadata) {
  std::error_code error;
  fs::create_directories(folder, error);
  DS_CHECK(!error, "cannot make folder '{}': {}", folder.string(), error.message());
  const std::vector<Shard> shards = split(tensors, max_shard_bytes);
  std::set<std::string> names;
  std::vector<std::unique_ptr<base::AtomicFile>> files;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shard_name(i, shards.size());
    for (const TensorView& view : shards[i])
      DS_CHECK(names.insert(view.name).second, "'{}': tensor '{}' is given twice", folder.string(),
               shown(view.name));
    files.push_back(std::make_unique<base::AtomicFile>(folder / name));
    write_safetensors(*files.back(), folder / name, shards[i], metadata);
    files.back()->sync();
  }
  std::set<std::string> kept;
  for (size_t i = 0; i < shards.size(); ++i) kept.insert(shard_name(i, shards.size()));
  if (shards.size() > 1) {
    files.push_back(std::make_unique<base::AtomicFile>(folder / kIndexName));
    files.back()->write(index_text(shards));
    files.back()->sync();
    kept.insert(kIndexName);
  }
  for (auto& file : files) file->commit();
  remove_others(folder, kept);
  base::sync_directory(folder);
}

}  // namespace deepspeed::formats
