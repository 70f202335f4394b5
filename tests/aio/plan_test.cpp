#include "deepspeed/aio/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace deepspeed::aio {
namespace {

using ::testing::ElementsAre;

constexpr size_t kMiB = size_t{1} << 20;
constexpr Geometry kDirect{.direct = true};

std::vector<Block> blocks(uintptr_t address, int64_t offset, Range part, size_t block_size,
                          const Geometry& geometry) {
  const BlockPlan plan(address, offset, part, block_size, geometry);
  std::vector<Block> all;
  for (size_t i = 0; i < plan.count(); ++i) all.push_back(plan.at(i));
  return all;
}

TEST(BlockPlan, AlignedRequestsAreDirectBlocksAlone) {
  EXPECT_THAT(blocks(0, 0, {0, 10240 + 2048}, 8192, kDirect),
              ElementsAre(Block{{0, 8192}, Route::kDirect}, Block{{8192, 4096}, Route::kDirect}));
}

TEST(BlockPlan, HeadAndTailOfAnOddRequestGoThroughThePageCache) {
  // Bytes 4000 to 12388 of the file: 96 bytes up to page 1, two pages, 100 bytes of page 3. Byte 96 is
  // aligned in memory.
  EXPECT_THAT(blocks(4096 - 96, 4000, {0, 96 + 8192 + 100}, 4096, kDirect),
              ElementsAre(Block{{0, 96}, Route::kBuffered}, Block{{96, 4096}, Route::kDirect},
                          Block{{4192, 4096}, Route::kDirect}, Block{{8288, 100}, Route::kBuffered}));
}

TEST(BlockPlan, MemoryThatIsNotAlignedTakesTheBounceBuffer) {
  EXPECT_THAT(blocks(8, 0, {0, 8192}, 8192, kDirect), ElementsAre(Block{{0, 8192}, Route::kBounce}));
  EXPECT_EQ(blocks(8, 0, {0, 8 * kMiB}, 4 * kMiB, kDirect).size(), 8u) << "bounce buffers stay small";
}

TEST(BlockPlan, WhatLiesWithinOnePageHasNoDirectBlock) {
  EXPECT_THAT(blocks(0, 10, {0, 4000}, kMiB, kDirect), ElementsAre(Block{{0, 4000}, Route::kBuffered}));
  EXPECT_THAT(blocks(0, 4090, {0, 100}, kMiB, kDirect),
              ElementsAre(Block{{0, 6}, Route::kBuffered}, Block{{6, 94}, Route::kBuffered}));
}

TEST(BlockPlan, NothingHasNoBlocks) {
  EXPECT_EQ(BlockPlan(0, 100, {0, 0}, kMiB, kDirect).count(), 0u);
  EXPECT_EQ(BlockPlan(0, 100, {0, 0}, kMiB, Geometry{}).count(), 0u);
}

TEST(BlockPlan, BlockSizesAreRoundedUpToWhatTheDiskTakes) {
  EXPECT_EQ(blocks(0, 0, {0, 16384}, 1, kDirect).size(), 4u);
  EXPECT_EQ(blocks(0, 0, {0, 16384}, 5000, kDirect).size(), 2u);
  EXPECT_EQ(blocks(0, 0, {0, 16384}, 5000, Geometry{.direct = true, .offset_align = 16384}).size(), 1u);
}

TEST(BlockPlan, WithoutDirectAccessAnyBlockSizeIsTakenAsItIs) {
  EXPECT_THAT(blocks(1, 7, {3, 25}, 10, Geometry{}),
              ElementsAre(Block{{3, 10}, Route::kBuffered}, Block{{13, 10}, Route::kBuffered},
                          Block{{23, 5}, Route::kBuffered}));
}

// Every byte once, in order; direct blocks aligned; fewer than a page at either end through the page cache.
TEST(BlockPlan, CoversEveryByteOnceWhateverTheAlignment) {
  for (int64_t offset : {0, 1, 511, 512, 4095, 4096, 5000})
    for (uintptr_t address : {0u, 1u, 512u, 3584u, 4095u})
      for (size_t begin : {0u, 1u, 4096u, 7000u})
        for (size_t bytes : {1u, 511u, 4096u, 4097u, 12288u, 100'000u}) {
          const auto all = blocks(address, offset, {begin, bytes}, 8192, kDirect);
          size_t expected = begin;
          for (const Block& block : all) {
            ASSERT_EQ(block.range.begin, expected);
            ASSERT_GT(block.range.bytes, 0u);
            expected += block.range.bytes;
            if (block.route == Route::kBuffered) {
              ASSERT_LT(block.range.bytes, kPage);
              continue;
            }
            ASSERT_EQ((static_cast<size_t>(offset) + block.range.begin) % kPage, 0u);
            ASSERT_EQ(block.range.bytes % kPage, 0u);
            ASSERT_EQ(block.route == Route::kDirect, (address + block.range.begin) % 512 == 0);
          }
          ASSERT_EQ(expected, begin + bytes);
        }
}

TEST(Split, PartsMeetAtAlignedFileOffsets) {
  EXPECT_THAT(split(0, 32768, 4, kPage),
              ElementsAre(Range{0, 8192}, Range{8192, 8192}, Range{16384, 8192}, Range{24576, 8192}));
  EXPECT_THAT(split(1000, 20000, 2, kPage), ElementsAre(Range{0, 11288}, Range{11288, 8712}));
}

TEST(Split, FewBytesMakeFewerParts) {
  EXPECT_THAT(split(0, 100, 8, kPage), ElementsAre(Range{0, 100}));
  EXPECT_THAT(split(4000, 200, 4, kPage), ElementsAre(Range{0, 96}, Range{96, 104}));
  EXPECT_TRUE(split(5, 0, 4, kPage).empty());
}

TEST(Split, CoversEveryByteOnce) {
  for (int64_t offset : {0, 1, 4095, 123'456})
    for (size_t bytes : {1u, 4097u, 65'536u, 1'000'003u})
      for (int parts : {1, 2, 3, 8, 1000}) {
        size_t expected = 0;
        for (const Range& range : split(offset, bytes, parts, kPage)) {
          ASSERT_EQ(range.begin, expected);
          ASSERT_GT(range.bytes, 0u);
          expected += range.bytes;
          ASSERT_TRUE(expected == bytes || (static_cast<size_t>(offset) + expected) % kPage == 0);
        }
        ASSERT_EQ(expected, bytes);
      }
}

TEST(Split, HugeRequestsDoNotOverflow) {
  const auto ranges = split(0, size_t{1} << 62, 1024, kPage);
  ASSERT_EQ(ranges.size(), 1024u);
  EXPECT_EQ(ranges.back().begin + ranges.back().bytes, size_t{1} << 62);
}

}  // namespace
}  // namespace deepspeed::aio
