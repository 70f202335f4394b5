#include "deepspeed/zero/offload_plan.h"

#include <algorithm>
#include <cmath>

namespace deepspeed::zero {
namespace {

constexpr int64_t kPage = 4096, kCacheLine = 64;
// Adam's tile in fp32 is 50 MB then, which a disk transfers at its full speed; larger ones only take memory.
constexpr int64_t kMostTileElements = int64_t{4} << 20;

int64_t round_up(int64_t bytes, int64_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

int64_t resident_elements(const OffloadOptimizerConfig& config, int64_t numel) {
  if (!config.enabled()) return numel;
  return std::llround((1 - config.ratio) * static_cast<double>(numel));
}

int64_t tile_elements(const ZeroConfig& config) { return std::min(config.sub_group_size, kMostTileElements); }

std::vector<partition::Piece> cut_pieces(std::span<const partition::Piece> pieces, int64_t boundary,
                                         int64_t longest) {
  std::vector<partition::Piece> cut;
  for (partition::Piece rest : pieces)
    while (rest.count > 0) {
      partition::Piece part = rest;
      part.count = std::min(rest.count, longest);
      if (part.shard_offset < boundary) part.count = std::min(part.count, boundary - part.shard_offset);
      rest.begin += part.count;
      rest.shard_offset += part.count;
      rest.count -= part.count;
      cut.push_back(part);
    }
  return cut;
}

std::vector<Tile> plan_tiles(std::vector<TilePiece> pieces, int64_t most_elements) {
  std::vector<Tile> tiles;
  int64_t elements = 0;
  for (TilePiece& piece : pieces) {
    if (tiles.empty() || elements + piece.numel > most_elements) {
      tiles.emplace_back();
      elements = 0;
    }
    elements += piece.numel;
    Tile& tile = tiles.back();
    int64_t place = tile.bytes;
    for (const int64_t bytes : piece.element_bytes) {
      piece.places.push_back(place);
      place = round_up(place + piece.numel * bytes, kCacheLine);
    }
    tile.bytes = place;
    tile.pieces.push_back(std::move(piece));
  }
  int64_t offset = 0;
  for (Tile& tile : tiles) {
    tile.bytes = round_up(tile.bytes, kPage);
    tile.offset = offset;
    offset += tile.bytes;
  }
  return tiles;
}

}  // namespace deepspeed::zero
