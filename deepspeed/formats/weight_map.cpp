#include "deepspeed/formats/weight_map.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <vector>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/formats/safetensors.h"

namespace deepspeed::formats {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

Json parse_index(const fs::path& path) {
  std::vector<std::set<std::string>> open_objects;
  auto check = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == Json::parse_event_t::object_end) open_objects.pop_back();
    if (event == Json::parse_event_t::key)
      DS_CHECK(open_objects.back().insert(parsed.get<std::string>()).second, "'{}': key '{}' appears twice",
               path.string(), shown(parsed.get_ref<const std::string&>()));
    return true;
  };
  const std::string text = base::read_text_file(path, kMaxHeaderBytes);
  DS_CHECK(text.find('\0') == text.npos, "'{}' is not valid JSON: it holds a NUL byte", path.string());
  try {
    return Json::parse(text, check);
  } catch (const Json::exception& error) {
    base::fail("'{}' is not valid JSON: {}", path.string(), shown(error.what()));
  }
}

// By its text alone: shards may well be links that lead elsewhere, as in the Hugging Face cache.
bool stays_inside(const fs::path& shard) {
  if (shard.empty() || shard.is_absolute() || !shard.has_filename()) return false;
  return std::none_of(shard.begin(), shard.end(), [](const fs::path& part) { return part == ".."; });
}

}  // namespace

std::map<std::string, std::string> read_weight_map(const fs::path& path) {
  const Json index = parse_index(path);
  DS_CHECK(index.is_object() && index.contains("weight_map") && index["weight_map"].is_object(),
           "'{}' has no object \"weight_map\"", path.string());
  std::map<std::string, std::string> weight_map;
  for (const auto& [name, shard] : index["weight_map"].items()) {
    DS_CHECK(shard.is_string(), "'{}': the file of tensor '{}' is not text", path.string(), shown(name));
    DS_CHECK(shard.get_ref<const std::string&>().find('\0') == std::string::npos &&
                 stays_inside(shard.get<std::string>()),
             "'{}': tensor '{}' lies in '{}', which is outside the folder", path.string(), shown(name),
             shown(shard.get<std::string>()));
    weight_map.emplace(name, shard.get<std::string>());
  }
  DS_CHECK(!weight_map.empty(), "'{}': \"weight_map\" is empty", path.string());
  return weight_map;
}

}  // namespace deepspeed::formats
