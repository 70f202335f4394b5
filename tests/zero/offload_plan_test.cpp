#include "deepspeed/zero/offload_plan.h"

#include <gtest/gtest.h>

namespace deepspeed::zero {
namespace {

using partition::Piece;

OffloadOptimizerConfig share(double ratio, Home home = Home::kCpu) {
  OffloadOptimizerConfig config;
  config.device = home;
  config.ratio = ratio;
  return config;
}

TEST(OffloadPlan, KeepsWhatTheRatioLeaves) {
  EXPECT_EQ(resident_elements(share(1), 1000), 0);
  EXPECT_EQ(resident_elements(share(0), 1000), 1000);
  EXPECT_EQ(resident_elements(share(0.3), 1000), 700);
  EXPECT_EQ(resident_elements(share(1, Home::kDevice), 1000), 1000);
}

TEST(OffloadPlan, TilesAreNoLargerThanADiskNeeds) {
  ZeroConfig config;
  EXPECT_EQ(tile_elements(config), int64_t{4} << 20);
  config.sub_group_size = 1000;
  EXPECT_EQ(tile_elements(config), 1000);
}

TEST(OffloadPlan, CutsPiecesAtTheBoundaryAndByLength) {
  const std::vector<Piece> pieces{{0, 5, 10, 0}, {1, 0, 7, 12}};
  EXPECT_EQ(cut_pieces(pieces, 14, 100), (std::vector<Piece>{{0, 5, 10, 0}, {1, 0, 2, 12}, {1, 2, 5, 14}}));
  EXPECT_EQ(cut_pieces(pieces, 0, 4),
            (std::vector<Piece>{{0, 5, 4, 0}, {0, 9, 4, 4}, {0, 13, 2, 8}, {1, 0, 4, 12}, {1, 4, 3, 16}}));
  EXPECT_EQ(cut_pieces(pieces, 0, 100), pieces);
}

TEST(OffloadPlan, PutsTensorsOnCacheLinesAndTilesOnPages) {
  const auto piece = [](size_t number, int64_t numel) {
    return TilePiece{.group = 0, .piece = number, .numel = numel, .element_bytes = {2, 4}};
  };
  const auto tiles = plan_tiles({piece(0, 10), piece(1, 20), piece(2, 5), piece(3, 5000)}, 30);
  ASSERT_EQ(tiles.size(), 3u);
  ASSERT_EQ(tiles[0].pieces.size(), 2u);
  EXPECT_EQ(tiles[0].pieces[0].places, (std::vector<int64_t>{0, 64}));     // 20 bytes, 40 bytes
  EXPECT_EQ(tiles[0].pieces[1].places, (std::vector<int64_t>{128, 192}));  // 40 bytes, 80 bytes
  EXPECT_EQ(tiles[0].bytes, 4096);
  EXPECT_EQ(tiles[1].offset, 4096);
  EXPECT_EQ(tiles[2].pieces[0].piece, 3u);
  EXPECT_EQ(tiles[2].offset, 8192);
  EXPECT_EQ(tiles[2].bytes, 32768);  // 10000, at 10048, 20000
  EXPECT_TRUE(plan_tiles({}, 30).empty());
}

}  // namespace
}  // namespace deepspeed::zero
