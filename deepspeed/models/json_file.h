// JSON that stands beside a model's weights: config.json and its kin, from whoever made the model.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/formats/dtype.h"

namespace deepspeed::models {

/// The file's document, of `Json`'s kind. Errors, of one line: it is larger than `most` bytes, no valid JSON,
/// or its values lie deeper within each other than any configuration's.
template <class Json = nlohmann::json>
Json read_json_file(const std::filesystem::path& path, size_t most = size_t{16} << 20) {
  constexpr int kDeepest = 64;
  const std::string text = base::read_text_file(path, most);
  const auto not_too_deep = [&](int depth, typename Json::parse_event_t, Json&) {
    DS_CHECK(depth <= kDeepest, "{}: values lie deeper than {} within each other", path.string(), kDeepest);
    return true;
  };
  try {
    return Json::parse(text, not_too_deep);
  } catch (const typename Json::exception& error) {
    base::fail("{}: not valid JSON: {}", path.string(), formats::shown(error.what()));
  }
}

}  // namespace deepspeed::models
