// Reading a checkpoint. Pieces say which elements they are, so any rank of any world size can ask for any run
// of any parameter's states; files are mapped and only what is asked for is touched.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/formats/safetensors.h"

namespace deepspeed::checkpoint {

/// The tag that <folder>/latest names; nothing when there is no such file.
std::optional<std::string> latest_tag(const std::filesystem::path& folder);

class Reader {
 public:
  /// Opens <folder>/<tag>. Errors name the file: missing, truncated or malformed files, a rank's file that is
  /// absent.
  Reader(const std::filesystem::path& folder, const std::string& tag);

  const nlohmann::ordered_json& state() const { return state_; }
  const std::filesystem::path& path() const { return path_; }
  bool has_state(const std::string& state, const std::string& parameter) const;
  /// Copies elements [begin, begin + out.numel()) of a parameter's state into `out` (1-D, contiguous),
  /// converting to its dtype. Error when some of them are not there.
  void read(const std::string& state, const std::string& parameter, int64_t begin, at::Tensor out) const;
  /// A tensor that was saved whole, into `out` of the same shape; false when there is none of that name.
  bool read_whole(const std::string& name, at::Tensor out) const;
  /// What rank `rank` of the saving run wrote for itself (RankPart::own), all of it whose names begin with
  /// `prefix`, without the prefix; nothing where there was no such rank.
  std::map<std::string, at::Tensor> read_own(int rank, const std::string& prefix) const;

 private:
  struct Run {
    int64_t begin;
    size_t file;
    const formats::TensorInfo* info;
  };
  at::Tensor tensor(size_t file, const formats::TensorInfo& info) const;
  at::Tensor elements(const Run& run, int64_t first, int64_t count) const;

  std::filesystem::path path_;
  nlohmann::ordered_json state_;
  std::vector<formats::SafetensorsFile> files_;
  std::map<std::string, std::vector<Run>> runs_;  // by "<state>/<parameter>"
  std::map<std::string, std::pair<size_t, const formats::TensorInfo*>> whole_;
};

}  // namespace deepspeed::checkpoint
