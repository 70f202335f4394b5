#include "deepspeed/inference/checkpoint_files.h"

#include <algorithm>
#include <filesystem>

#include "deepspeed/base/error.h"
#include "deepspeed/config/convert.h"

namespace deepspeed::inference {
namespace {

using config::Json;

// What a loader of Megatron's files would want to know besides.
constexpr const char* kKnown[] = {"base_dir",        "checkpoints", "dtype", "mp_size",
                                  "parallelization", "tp_size",     "type",  "version"};

void check_keys(const Json& description, const std::string& where) {
  const std::vector<std::string> known(std::begin(kKnown), std::end(kKnown));
  for (const auto& [key, value] : description.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const auto near = config::nearest_name(key, known);
    base::fail("{}: unknown key '{}'{}", where, key, near ? "; did you mean '" + *near + "'?" : "");
  }
}

}  // namespace

std::vector<std::string> parse_checkpoint_files(const Json& description, const std::string& where) {
  check_keys(description, where);
  const Json list = description.value("checkpoints", Json());
  for (const char* key : {"dtype", "type"})
    DS_CHECK(!description.contains(key) || description[key].is_string(), "{}: '{}' must be text", where, key);
  const bool one_rank =
      description.value("mp_size", Json(1)) == 1 && description.value("tp_size", Json(1)) == 1;
  DS_CHECK(one_rank && !list.is_object() && description.value("parallelization", Json("pp")) == "pp",
           "not available yet: {}: checkpoints that are split for tensor parallelism; name the whole model's "
           "files",
           where);
  DS_CHECK(list.is_array() && !list.empty(), "{}: 'checkpoints' must be a list of files", where);
  const Json base = description.value("base_dir", Json(""));
  DS_CHECK(base.is_string(), "{}: 'base_dir' must be text", where);
  std::vector<std::string> files;
  for (const Json& file : list) {
    DS_CHECK(file.is_string() && !file.get<std::string>().empty(),
             "{}: 'checkpoints' holds {}, which is no file", where, file.dump().substr(0, 100));
    const std::filesystem::path path = file.get<std::string>();
    files.push_back(base == "" ? path.string()
                               : std::filesystem::absolute(base.get<std::string>() / path).string());
  }
  return files;
}

}  // namespace deepspeed::inference
