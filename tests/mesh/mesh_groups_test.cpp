#include "deepspeed/mesh/mesh_groups.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/fake.h"
#include "deepspeed/comm/ranks.h"

namespace deepspeed::mesh {
namespace {

TEST(MeshGroups, SumsOverEachAxisCountTheRightRanks) {
  const Mesh mesh({1, 2, 1, 2});
  comm::run_ranks(4, [&](comm::GroupPtr world) {
    const auto g = make_groups(mesh, world);
    const auto sum = [&](comm::Group& group) {
      auto t = at::full({1}, 1 << world->rank(), at::kInt);
      group.all_reduce(t);
      return t.item<int>();
    };
    EXPECT_EQ(sum(*g.tensor), world->rank() < 2 ? 0b0011 : 0b1100);
    EXPECT_EQ(sum(*g.data), world->rank() % 2 ? 0b1010 : 0b0101);
    EXPECT_EQ(sum(*g.pipeline), 1 << world->rank());
    EXPECT_EQ(g.zero, g.data);
    EXPECT_EQ(g.data->name(), world->rank() % 2 ? "data of rank 1" : "data of rank 0");
  });
}

TEST(MeshGroups, PureDataParallelismNeedsNoGroupButTheWorld) {
  auto world = comm::fake_group(2, 6);
  const auto g = make_groups(Mesh::data_parallel(6), world);
  EXPECT_EQ(g.data, world);
  EXPECT_EQ(g.zero, world);
  EXPECT_EQ(g.expert_data, world);
  EXPECT_EQ(g.tensor->size(), 1);
  EXPECT_EQ(g.pipeline->size(), 1);
}

TEST(MeshGroups, FollowTheMeshOnThousandsOfSimulatedRanks) {
  const Mesh mesh({4, 32, 2, 8, 16});
  for (const int rank : {0, 777, 2047}) {
    const auto g = make_groups(mesh, comm::fake_group(rank, mesh.world_size()));
    EXPECT_EQ(g.data->global_ranks(), mesh.data_parallel_ranks(rank));
    EXPECT_EQ(g.tensor->global_ranks(), mesh.tensor_parallel_ranks(rank));
    EXPECT_EQ(g.pipeline->global_ranks(), mesh.pipeline_parallel_ranks(rank));
    EXPECT_EQ(g.sequence->global_ranks(), mesh.sequence_parallel_ranks(rank));
    EXPECT_EQ(g.zero->global_ranks(), mesh.zero_ranks(rank));
    EXPECT_EQ(g.model->global_ranks(), mesh.model_parallel_ranks(rank));
    EXPECT_EQ(g.expert->global_ranks(), mesh.expert_parallel_ranks(rank));
    EXPECT_EQ(g.expert_data->global_ranks(), mesh.expert_data_parallel_ranks(rank));
  }
}

TEST(MeshGroups, AWorldOfAnotherSizeIsRefused) {
  EXPECT_THROW(make_groups(Mesh::data_parallel(4), comm::fake_group(0, 3)), base::Error);
}

}  // namespace
}  // namespace deepspeed::mesh
