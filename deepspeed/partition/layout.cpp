#include "deepspeed/partition/layout.h"

#include <algorithm>

#include "deepspeed/base/error.h"

namespace deepspeed::partition {
namespace {

int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

Layout::Layout(std::vector<ParamSize> params, int world_size, bool is_concatenated)
    : params_(std::move(params)), world_size_(world_size), is_concatenated_(is_concatenated) {
  DS_CHECK(world_size >= 1, "a layout needs at least one rank, got {}", world_size);
  for (const auto& param : params_) {
    DS_CHECK(param.numel >= 0, "parameter '{}' has a negative size {}", param.name, param.numel);
    numel_ += param.numel;
  }
  pieces_.resize(static_cast<size_t>(world_size));
}

Layout Layout::concatenated(std::vector<ParamSize> params, int world_size) {
  Layout layout(std::move(params), world_size, /*is_concatenated=*/true);
  layout.shard_numel_ = round_up(layout.numel_, 2 * int64_t{world_size}) / world_size;
  int64_t offset = 0;
  for (size_t p = 0; p < layout.params_.size(); ++p) {
    layout.offsets_.push_back(offset);
    const int64_t end = offset + layout.params_[p].numel;
    for (int64_t at = offset; at < end;) {
      const int64_t rank = at / layout.shard_numel_;
      const int64_t stop = std::min(end, (rank + 1) * layout.shard_numel_);
      layout.pieces_[static_cast<size_t>(rank)].push_back({.param = p,
                                                           .begin = at - offset,
                                                           .count = stop - at,
                                                           .shard_offset = at - rank * layout.shard_numel_});
      at = stop;
    }
    offset = end;
  }
  return layout;
}

Layout Layout::per_parameter(std::vector<ParamSize> params, int world_size) {
  Layout layout(std::move(params), world_size, /*is_concatenated=*/false);
  for (size_t p = 0; p < layout.params_.size(); ++p) {
    const int64_t numel = layout.params_[p].numel;
    const int64_t part = round_up(numel, world_size) / world_size;
    layout.offsets_.push_back(layout.shard_numel_);
    for (int rank = 0; rank < world_size; ++rank) {
      const int64_t begin = std::min(numel, rank * part), end = std::min(numel, begin + part);
      if (end > begin)
        layout.pieces_[static_cast<size_t>(rank)].push_back(
            {.param = p, .begin = begin, .count = end - begin, .shard_offset = layout.shard_numel_});
    }
    layout.shard_numel_ += part;
  }
  return layout;
}

std::vector<OwnedPiece> Layout::owners(size_t param) const {
  std::vector<OwnedPiece> found;
  for (int rank = 0; rank < world_size_; ++rank)
    for (const Piece& piece : pieces(rank))
      if (piece.param == param) found.push_back({rank, piece});
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.piece.begin < b.piece.begin; });
  return found;
}

int64_t Layout::flat_offset(size_t param) const {
  DS_CHECK(is_concatenated_, "a per-parameter layout has no concatenation to point into");
  return offsets_.at(param);
}

int64_t Layout::part_offset(size_t param) const {
  DS_CHECK(!is_concatenated_, "a concatenated layout has no part of a parameter on every rank");
  return offsets_.at(param);
}

int64_t Layout::part_numel(size_t param) const {
  DS_CHECK(!is_concatenated_, "a concatenated layout has no part of a parameter on every rank");
  return (param + 1 < offsets_.size() ? offsets_[param + 1] : shard_numel_) - offsets_.at(param);
}

}  // namespace deepspeed::partition
