#include "deepspeed/mesh/mesh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "deepspeed/base/error.h"

namespace deepspeed::mesh {
namespace {

using Ranks = std::vector<int>;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<Dims> shapes() {
  std::vector<Dims> all;
  for (const int pp : {1, 2, 3}) {
    for (const int dp : {1, 2, 6}) {
      for (const int sp : {1, 2}) {
        for (const int tp : {1, 4}) {
          for (const int ep : {1, 2, 3}) {
            if (dp * sp % ep) continue;
            for (const bool data_first : {false, true}) all.push_back({pp, dp, sp, tp, ep, data_first});
          }
        }
      }
    }
  }
  all.push_back({8, 64, 2, 8, 16});  // 8192 ranks
  return all;
}

void expect_partition(const Mesh& mesh, const std::function<Ranks(int)>& ranks_of, size_t size) {
  for (int rank = 0; rank < mesh.world_size(); ++rank) {
    const auto ranks = ranks_of(rank);
    ASSERT_EQ(ranks.size(), size);
    ASSERT_TRUE(std::is_sorted(ranks.begin(), ranks.end()));
    ASSERT_TRUE(std::binary_search(ranks.begin(), ranks.end(), rank));
    // Same list seen from its first and last member: the lists are disjoint and cover the world.
    ASSERT_EQ(ranks_of(ranks.front()), ranks);
    ASSERT_EQ(ranks_of(ranks.back()), ranks);
  }
}

TEST(Mesh, EveryKindOfGroupPartitionsTheWorld) {
  for (const auto& dims : shapes()) {
    const Mesh mesh(dims);
    SCOPED_TRACE(testing::Message() << dims.pp << ' ' << dims.dp << ' ' << dims.sp << ' ' << dims.tp << ' '
                                    << dims.ep);
    expect_partition(
        mesh, [&](int r) { return mesh.data_parallel_ranks(r); }, dims.dp);
    expect_partition(
        mesh, [&](int r) { return mesh.tensor_parallel_ranks(r); }, dims.tp);
    expect_partition(
        mesh, [&](int r) { return mesh.pipeline_parallel_ranks(r); }, dims.pp);
    expect_partition(
        mesh, [&](int r) { return mesh.sequence_parallel_ranks(r); }, dims.sp);
    expect_partition(
        mesh, [&](int r) { return mesh.zero_ranks(r); }, dims.dp * dims.sp);
    expect_partition(
        mesh, [&](int r) { return mesh.model_parallel_ranks(r); }, dims.pp * dims.tp);
    expect_partition(
        mesh, [&](int r) { return mesh.expert_parallel_ranks(r); }, dims.ep);
    expect_partition(
        mesh, [&](int r) { return mesh.expert_data_parallel_ranks(r); }, dims.dp * dims.sp / dims.ep);
  }
}

TEST(Mesh, CoordinatesAndRanksAreInverse) {
  for (const auto& dims : shapes()) {
    const Mesh mesh(dims);
    for (int rank = 0; rank < mesh.world_size(); ++rank) {
      ASSERT_EQ(mesh.rank_of({mesh.coordinate(rank, Axis::kPipeline), mesh.coordinate(rank, Axis::kData),
                              mesh.coordinate(rank, Axis::kSequence), mesh.coordinate(rank, Axis::kTensor)}),
                rank);
    }
  }
}

TEST(Mesh, ExpertAndExpertDataGroupsMeetInOneRank) {
  for (const auto& dims : shapes()) {
    const Mesh mesh(dims);
    for (int rank = 0; rank < std::min(mesh.world_size(), 500); ++rank) {
      const auto experts = mesh.expert_parallel_ranks(rank), data = mesh.expert_data_parallel_ranks(rank);
      Ranks both;
      std::set_intersection(experts.begin(), experts.end(), data.begin(), data.end(),
                            std::back_inserter(both));
      ASSERT_THAT(both, ElementsAre(rank));
    }
  }
}

TEST(Mesh, OrderIsThatOfDeepSpeedsTopology) {
  // PipeModelDataParallelTopology(num_pp=2, num_mp=2, num_dp=2): axes pipe, data, model.
  const Mesh mesh({2, 2, 1, 2});
  EXPECT_THAT(mesh.tensor_parallel_ranks(0), ElementsAre(0, 1));
  EXPECT_THAT(mesh.data_parallel_ranks(0), ElementsAre(0, 2));
  EXPECT_THAT(mesh.pipeline_parallel_ranks(0), ElementsAre(0, 4));
  EXPECT_THAT(mesh.model_parallel_ranks(3), ElementsAre(2, 3, 6, 7));
  EXPECT_EQ(mesh.describe(5), "pp1 dp0 sp0 tp1");
  EXPECT_THAT(mesh.partition({Axis::kTensor}),
              ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3), ElementsAre(4, 5), ElementsAre(6, 7)));
}

TEST(Mesh, ExpertGroupsAreThoseOfDeepSpeed) {
  // deepspeed/utils/groups.py, world 16: _create_expert_and_data_parallel with ep 2, and with tensor parallel
  // 2, ep 4.
  const Mesh flat({1, 16, 1, 1, 2});
  EXPECT_THAT(flat.expert_parallel_ranks(3), ElementsAre(2, 3));
  EXPECT_THAT(flat.expert_data_parallel_ranks(0), ElementsAre(0, 2, 4, 6, 8, 10, 12, 14));
  const Mesh tensor({1, 8, 1, 2, 4});
  EXPECT_THAT(tensor.expert_parallel_ranks(0), ElementsAre(0, 2, 4, 6));
  EXPECT_THAT(tensor.expert_parallel_ranks(9), ElementsAre(9, 11, 13, 15));
  EXPECT_THAT(tensor.expert_data_parallel_ranks(0), ElementsAre(0, 8));
  EXPECT_THAT(tensor.expert_data_parallel_ranks(2), ElementsAre(2, 10));
  const Mesh data_first({1, 8, 1, 1, 4, true});
  EXPECT_THAT(data_first.expert_parallel_ranks(0), ElementsAre(0, 2, 4, 6));
  EXPECT_THAT(data_first.expert_data_parallel_ranks(0), ElementsAre(0, 1));
}

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const base::Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Mesh, ImpossibleShapesAreRefused) {
  EXPECT_THAT(message_of([] { Mesh({0, 1, 1, 1}); }), HasSubstr("pipeline parallel size is 0"));
  EXPECT_THAT(message_of([] {
                Mesh({1, 3, 1, 1, 2});
              }),
              HasSubstr("does not divide data x sequence = 3 x 1"));
  EXPECT_THAT(message_of([] { Mesh({1 << 20, 1 << 20, 1 << 20, 1}); }), HasSubstr("too many"));
  EXPECT_THAT(message_of([] { Mesh::fill(7, {2, 1, 1, 1}); }), HasSubstr("does not divide the world of 7"));
  EXPECT_THAT(message_of([] { Mesh({1, 2, 1, 1}).coordinate(2, Axis::kData); }), HasSubstr("rank 2"));
  EXPECT_EQ(Mesh::fill(24, {2, 1, 1, 3}).dims().dp, 4);
  EXPECT_EQ(Mesh::data_parallel(5).zero_ranks(3), (Ranks{0, 1, 2, 3, 4}));
}

}  // namespace
}  // namespace deepspeed::mesh
