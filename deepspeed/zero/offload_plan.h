// Which of a rank's optimizer states are offloaded, and how those on a disk lie there: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "deepspeed/partition/layout.h"
#include "deepspeed/zero/config.h"

namespace deepspeed::zero {

/// How many of a shard's `numel` elements, its first ones, are not offloaded: all but the share `ratio`
/// (Twin-Flow). All of them without offload.
int64_t resident_elements(const OffloadOptimizerConfig& config, int64_t numel);

/// Most elements of a tile: sub_group_size, but no more than a disk needs to be busy.
int64_t tile_elements(const ZeroConfig& config);

/// The same pieces cut so that none crosses `boundary` (a place in the shard) or is longer than `longest`.
std::vector<partition::Piece> cut_pieces(std::span<const partition::Piece> pieces, int64_t boundary,
                                         int64_t longest);

/// A piece of the optimizer's in a tile: its tensors are `numel` elements each, of these bytes an element.
struct TilePiece {
  size_t group = 0, piece = 0;
  int64_t numel = 0;
  std::vector<int64_t> element_bytes;
  std::vector<int64_t> places;  // of the tensors within the tile, in bytes
};

/// What is read, stepped and written at once: whole pages of the file.
struct Tile {
  int64_t offset = 0, bytes = 0;
  std::vector<TilePiece> pieces;
};

/// The pieces in their order, as many to a tile as have at most `most_elements` together; a longer one has
/// its own. Tensors start at cache lines, tiles at pages.
std::vector<Tile> plan_tiles(std::vector<TilePiece> pieces, int64_t most_elements);

}  // namespace deepspeed::zero
