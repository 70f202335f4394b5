#include "deepspeed/partition/layout.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "deepspeed/base/error.h"

namespace deepspeed::partition {
namespace {

std::vector<ParamSize> random_params(std::mt19937& random) {
  std::vector<ParamSize> params(random() % 12);
  for (size_t i = 0; i < params.size(); ++i)
    params[i] = {"p" + std::to_string(i),
                 static_cast<int64_t>(random() % 5 == 0 ? random() % 3 : random() % 200)};
  return params;
}

// Every element of every parameter is owned exactly once, shards do not overlap, padding is bounded.
void expect_partition(const Layout& layout) {
  std::vector<std::vector<int>> owners;
  for (const auto& param : layout.params()) owners.emplace_back(static_cast<size_t>(param.numel), 0);
  for (int rank = 0; rank < layout.world_size(); ++rank) {
    int64_t free_from = 0;
    for (const Piece& piece : layout.pieces(rank)) {
      ASSERT_GT(piece.count, 0);
      ASSERT_GE(piece.shard_offset, free_from);
      free_from = piece.shard_offset + piece.count;
      ASSERT_LE(free_from, layout.shard_numel());
      for (int64_t i = 0; i < piece.count; ++i)
        ++owners.at(piece.param).at(static_cast<size_t>(piece.begin + i));
    }
  }
  for (const auto& param : owners)
    for (int count : param) ASSERT_EQ(count, 1);
}

TEST(Layout, CoversEveryElementExactlyOnceForRandomParametersAndWorldSizes) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    const auto params = random_params(random);
    const int world = 1 + static_cast<int>(random() % 9);
    const Layout flat = Layout::concatenated(params, world);
    expect_partition(flat);
    ASSERT_LT(flat.padded_numel() - flat.numel(), 2 * world);
    ASSERT_EQ(flat.padded_numel() % (2 * world), 0);
    const Layout sharded = Layout::per_parameter(params, world);
    expect_partition(sharded);
    ASSERT_LT(sharded.padded_numel() - sharded.numel(),
              std::max<int64_t>(1, world * static_cast<int64_t>(params.size())));
  }
}

TEST(Layout, ConcatenatedPiecesLieWhereTheirFlatOffsetSays) {
  std::mt19937 random(2);
  for (int round = 0; round < 100; ++round) {
    const Layout layout = Layout::concatenated(random_params(random), 1 + static_cast<int>(random() % 6));
    for (int rank = 0; rank < layout.world_size(); ++rank)
      for (const Piece& p : layout.pieces(rank))
        ASSERT_EQ(layout.flat_offset(p.param) + p.begin, rank * layout.shard_numel() + p.shard_offset);
  }
}

TEST(Layout, PerParameterGivesEveryRankTheSamePaddedShareOfEveryParameter) {
  const Layout layout = Layout::per_parameter({{"a", 10}, {"b", 1}, {"c", 7}}, 4);
  EXPECT_EQ(layout.shard_numel(), 3 + 1 + 2);
  EXPECT_EQ(layout.pieces(3).size(), 2u);  // a: elements 9..9, b: none, c: 6..6
  EXPECT_EQ(layout.pieces(3)[0], (Piece{.param = 0, .begin = 9, .count = 1, .shard_offset = 0}));
  EXPECT_EQ(layout.pieces(3)[1], (Piece{.param = 2, .begin = 6, .count = 1, .shard_offset = 4}));
}

TEST(Layout, MoreRanksThanElementsLeavesSomeRanksWithoutPieces) {
  for (const Layout& layout : {Layout::concatenated({{"a", 3}}, 8), Layout::per_parameter({{"a", 3}}, 8)}) {
    expect_partition(layout);
    EXPECT_TRUE(layout.pieces(7).empty());
  }
}

TEST(Layout, OwnersOfAParameterComeInElementOrder) {
  const Layout layout = Layout::concatenated({{"a", 5}, {"b", 20}}, 3);
  const auto owners = layout.owners(1);
  int64_t next = 0;
  for (const auto& owner : owners) {
    EXPECT_EQ(owner.piece.begin, next);
    next += owner.piece.count;
  }
  EXPECT_EQ(next, 20);
}

TEST(Layout, SameInputGivesSameLayoutAtThousandsOfRanks) {
  const std::vector<ParamSize> params = {{"a", 1'000'003}, {"b", 17}, {"c", 0}, {"d", 999}};
  for (int world : {1024, 4096}) {
    expect_partition(Layout::concatenated(params, world));
    expect_partition(Layout::per_parameter(params, world));
  }
}

TEST(Layout, RefusesImpossibleInput) {
  EXPECT_THROW(Layout::concatenated({}, 0), base::Error);
  EXPECT_THROW(Layout::concatenated({{"a", -1}}, 2), base::Error);
  EXPECT_THROW(Layout::per_parameter({{"a", 4}}, 2).flat_offset(0), base::Error);
}

}  // namespace
}  // namespace deepspeed::partition
