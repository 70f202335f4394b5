#include "deepspeed/models/weight_layout.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "deepspeed/base/error.h"

namespace deepspeed::models {
namespace {

// The file's row of each of our rows.
std::vector<int64_t> rows_of(RowOrder order, int64_t rows, HeadCounts heads) {
  std::vector<int64_t> out;
  for (int64_t row = 0; row < rows; ++row) out.push_back(file_row(order, row, rows, heads));
  return out;
}

TEST(WeightLayout, HeadsAreInterleavedAsQueryKeyValueOfEachHead) {
  // Two heads of two: the file holds q0 k0 v0 q1 k1 v1, ours q0 q1 k0 k1 v0 v1.
  EXPECT_EQ(rows_of(RowOrder::kByHead, 12, {2, 2}),
            (std::vector<int64_t>{0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11}));
  // Four queries share two keys: q0 q1 k0 v0 q2 q3 k1 v1.
  EXPECT_EQ(rows_of(RowOrder::kByHead, 8, {4, 2}), (std::vector<int64_t>{0, 1, 4, 5, 2, 6, 3, 7}));
  EXPECT_THROW(file_row(RowOrder::kByHead, 0, 7, {2, 2}), base::Error);
}

TEST(WeightLayout, WhatTurnsTogetherIsNeighboursInLlamaCppsFiles) {
  // Two heads of six: rows 0 and 3, 1 and 4, 2 and 5 turn together.
  EXPECT_EQ(rows_of(RowOrder::kNeighbours, 12, {2, 2, 6}),
            (std::vector<int64_t>{0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11}));
  EXPECT_THROW(file_row(RowOrder::kNeighbours, 0, 7, {2, 2, 6}), base::Error);
  EXPECT_THROW(file_row(RowOrder::kNeighbours, 0, 6, {2, 2}), base::Error);
}

TEST(WeightLayout, HalvesLieOneAfterTheOther) {
  EXPECT_EQ(file_rows(RowOrder::kFirstHalf, 5), 10);
  EXPECT_EQ(file_rows(RowOrder::kSecondHalf, 5), 10);
  EXPECT_EQ(file_rows(RowOrder::kSame, 5), 5);
  EXPECT_EQ(file_row(RowOrder::kFirstHalf, 3, 5, {1, 1}), 3);
  EXPECT_EQ(file_row(RowOrder::kSecondHalf, 3, 5, {1, 1}), 8);
}

TEST(WeightLayout, EveryOrderIsAPermutationOfTheFilesRows) {
  for (HeadCounts heads : {HeadCounts{6, 6}, {6, 2}, {4, 1}}) {
    const int64_t rows = (heads.heads + 2 * heads.kv_heads) * 5;
    const auto places = rows_of(RowOrder::kByHead, rows, heads);
    const std::set<int64_t> distinct(places.begin(), places.end());
    EXPECT_EQ(static_cast<int64_t>(distinct.size()), rows);
    EXPECT_EQ(*distinct.begin(), 0);
    EXPECT_EQ(*distinct.rbegin(), rows - 1);
  }
}

TEST(WeightLayout, RunsOfAnySliceAreElementForElementTheWholes) {
  const HeadCounts heads{4, 2};
  const int64_t rows = 16, width = 3;
  for (RowOrder order : {RowOrder::kSame, RowOrder::kFirstHalf, RowOrder::kSecondHalf, RowOrder::kByHead})
    for (int64_t begin = 0; begin <= rows * width; begin += 5)
      for (int64_t count : {int64_t{0}, int64_t{1}, int64_t{7}, rows * width - begin}) {
        if (count < 0 || begin + count > rows * width) continue;
        int64_t next = begin;
        for (const models::Run& run : file_runs(order, rows, width, heads, begin, count)) {
          ASSERT_EQ(run.ours, next);
          for (int64_t i = 0; i < run.count; ++i, ++next)
            ASSERT_EQ(run.file + i, file_row(order, next / width, rows, heads) * width + next % width);
        }
        ASSERT_EQ(next, begin + count);
      }
  EXPECT_EQ(file_runs(RowOrder::kSecondHalf, rows, width, heads, 4, 30).size(), 1u);
  // 12 rows, two a head: the two heads' queries lie apart.
  EXPECT_EQ(file_runs(RowOrder::kByHead, 12, width, {2, 2}, 0, 4 * width).size(), 2u);
}

}  // namespace
}  // namespace deepspeed::models
