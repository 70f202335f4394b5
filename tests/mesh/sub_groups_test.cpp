#include "deepspeed/mesh/sub_groups.h"

#include <gmock/gmock.h>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/fake.h"
#include "deepspeed/comm/ranks.h"

namespace deepspeed::mesh {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(SubGroups, AreRunsOfNeighboursAndTheRanksAtTheSamePlaceInThem) {
  comm::run_ranks(6, [](comm::GroupPtr world) {
    const SubGroups groups = make_sub_groups(world, 2, "pair");
    const int run = world->rank() / 2, place = world->rank() % 2;
    EXPECT_THAT(groups.within->global_ranks(), ElementsAre(2 * run, 2 * run + 1));
    EXPECT_THAT(groups.across->global_ranks(), ElementsAre(place, place + 2, place + 4));
    EXPECT_EQ(groups.within->rank(), place);
    EXPECT_EQ(groups.across->rank(), run);
    at::Tensor sum = at::ones({1});
    groups.within->all_reduce(sum);
    groups.across->all_reduce(sum);
    EXPECT_EQ(sum.item<float>(), 6);
  });
}

TEST(SubGroups, OfOneRankAndOfAllAreTheTrivialOnes) {
  comm::run_ranks(3, [](comm::GroupPtr world) {
    const SubGroups all = make_sub_groups(world, 3, "all"), one = make_sub_groups(world, 1, "one");
    EXPECT_EQ(all.within, world);
    EXPECT_EQ(all.across->size(), 1);
    EXPECT_EQ(one.within->size(), 1);
    EXPECT_EQ(one.across, world);
  });
}

TEST(SubGroups, ThatDoNotDivideTheRanksAreAnError) {
  const auto world = comm::fake_group(0, 4);
  EXPECT_THAT(
      [&] { make_sub_groups(world, 3, "zero_hpz_partition_size"); },
      ThrowsMessage<base::Error>(HasSubstr("zero_hpz_partition_size: groups of 3 do not divide 4 ranks")));
  EXPECT_THROW(make_sub_groups(world, 0, "none"), base::Error);
}

}  // namespace
}  // namespace deepspeed::mesh
