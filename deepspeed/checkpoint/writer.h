// Writing a checkpoint: each rank its own pieces, everything under a temporary name, fsynced, renamed,
// `latest` last, so that at any moment the folder holds the previous or the new checkpoint whole.
//
//   <folder>/<tag>/rank_00000.safetensors ...   the ranks' pieces, named "<state>/<parameter>@<first
//                                               element>", and what is a rank's own, "own/<name>"
//   <folder>/<tag>/state.json                   everything that is not a tensor; written by rank 0
//   <folder>/latest                             the tag of the newest checkpoint
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "deepspeed/checkpoint/config.h"
#include "deepspeed/comm/group.h"

namespace deepspeed::checkpoint {

/// Elements [begin, begin + n) of a parameter and what the optimizer keeps of them: 1-D tensors of n elements
/// by state name ("fp32" is the parameter's own value).
struct PieceStates {
  /// A state that is not in memory: `read` puts its bytes into the memory it is given, one state at a time.
  struct Stored {
    at::ScalarType dtype = at::kFloat;
    int64_t numel = 0;
    std::function<void(std::span<std::byte>)> read;
  };
  std::string parameter;
  int64_t begin = 0;
  std::map<std::string, at::Tensor> states;
  std::map<std::string, Stored> stored = {};
};

/// What one rank writes.
struct RankPart {
  std::vector<PieceStates> pieces;
  std::map<std::string, at::Tensor>
      whole;  // tensors that are not sharded (buffers, frozen parameters): rank 0 only
  /// What only the same rank of a run that is cut alike can use.
  std::map<std::string, at::Tensor> own = {};
};

struct SaveOptions {
  std::filesystem::path folder;
  std::string tag;
  bool save_latest = true;
  TagValidation tag_validation = TagValidation::kWarn;
};

/// Collective: every rank of the group calls it, with the same tag (checked as tag_validation says; rank 0's
/// counts). `state` is read on rank 0. A failure on any rank is an Error on all of them, naming the rank and
/// the cause; the folder then holds what it held before.
void save(const SaveOptions& options, const RankPart& part, const nlohmann::ordered_json& state,
          comm::Group& group);

/// What a rank's own tensors are named with in its file.
inline constexpr const char* kOwnPrefix = "own/";
/// The name under which a rank's file lies in a checkpoint.
std::string rank_file_name(int rank);
/// Error unless the tag is one plain name of a folder.
void check_tag(const std::string& tag);

}  // namespace deepspeed::checkpoint
