// Who owns which elements of a list of parameters: a pure value, computed alike on every rank. Torch-free.
//
// Two cuts exist (DeepSpeed's runtime/zero/stage_1_and_2.py and partition_parameters.py):
//   concatenated   stages 1-2: all parameters end to end, padded to 2*W elements, cut in W equal runs;
//   per parameter  stage 3: every parameter padded to W equal parts, a rank's parts end to end.
// Everything above (optimizer, checkpoint, norms) sees only the resulting pieces.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace deepspeed::partition {

struct ParamSize {
  std::string name;
  int64_t numel = 0;
};

/// A run of one parameter's elements, [begin, begin + count) of its flattened form, and where a rank keeps
/// it.
struct Piece {
  size_t param = 0;          // index into the list the layout was made from
  int64_t begin = 0;         // first element within the parameter
  int64_t count = 0;         // > 0
  int64_t shard_offset = 0;  // where the run starts in the owner's shard
  bool operator==(const Piece&) const = default;
};

struct OwnedPiece {
  int rank = 0;
  Piece piece;
};

class Layout {
 public:
  static Layout concatenated(std::vector<ParamSize> params, int world_size);
  static Layout per_parameter(std::vector<ParamSize> params, int world_size);

  int world_size() const { return world_size_; }
  const std::vector<ParamSize>& params() const { return params_; }
  /// Elements of every rank's shard, padding included: the same on all ranks.
  int64_t shard_numel() const { return shard_numel_; }
  /// Elements of all shards together, padding included.
  int64_t padded_numel() const { return shard_numel_ * world_size_; }
  /// Elements of all parameters, without padding.
  int64_t numel() const { return numel_; }
  /// A rank's pieces in rising shard_offset. Together the ranks' pieces cover every element exactly once.
  std::span<const Piece> pieces(int rank) const { return pieces_.at(static_cast<size_t>(rank)); }
  /// The pieces of one parameter, in rising `begin`, with their owners.
  std::vector<OwnedPiece> owners(size_t param) const;
  /// Concatenated layouts only: where the parameter starts in the concatenation.
  int64_t flat_offset(size_t param) const;
  /// Per-parameter layouts only: where every rank keeps its part of the parameter, and how long a part is,
  /// padding included.
  int64_t part_offset(size_t param) const;
  int64_t part_numel(size_t param) const;
  bool is_concatenated() const { return is_concatenated_; }

 private:
  Layout(std::vector<ParamSize> params, int world_size, bool is_concatenated);

  std::vector<ParamSize> params_;
  int world_size_ = 1;
  int64_t numel_ = 0;
  int64_t shard_numel_ = 0;
  std::vector<std::vector<Piece>> pieces_;
  bool is_concatenated_ = true;
  std::vector<int64_t> offsets_;  // by parameter: in the concatenation, or in every shard
};

}  // namespace deepspeed::partition
