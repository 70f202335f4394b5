#include "deepspeed/comm/fake.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/ranks.h"

namespace deepspeed::comm {
namespace {

using ::testing::ElementsAre;

TEST(Fake, RecordsNameSizeAndOrderOfEveryOperation) {
  FakeLog log;
  auto group = fake_group(3, 1000, &log);
  EXPECT_EQ(group->rank(), 3);
  EXPECT_EQ(group->size(), 1000);
  auto t = at::ones({2000}, at::kBFloat16);
  auto work = group->all_reduce(t, ReduceOp::kSum, true);
  log.mark("backward of layer 2");
  auto slice = at::zeros({2}, at::kBFloat16);
  group->reduce_scatter_tensor(slice, t);
  group->all_gather_into_tensor(t, slice);
  group->barrier();
  work->wait();
  EXPECT_THAT(log.names(), ElementsAre("all_reduce", "backward of layer 2", "reduce_scatter_tensor",
                                       "all_gather_into_tensor", "barrier"));
  const auto entries = log.entries();
  EXPECT_EQ(entries[0].numel, 2000);
  EXPECT_EQ(entries[0].dtype, at::kBFloat16);
  EXPECT_TRUE(entries[0].async);
  EXPECT_EQ(entries[0].sequence, 1u);
  EXPECT_EQ(entries[2].numel, 2000);
  EXPECT_EQ(entries[3].group, "world");
}

TEST(Fake, OtherRanksContributeNothing) {
  auto group = fake_group(1, 4);
  auto t = at::arange(8, at::kFloat), slice = at::zeros({2}), uneven = at::zeros({3});
  group->all_reduce(t);
  EXPECT_TRUE(t.equal(at::arange(8, at::kFloat)));
  group->reduce_scatter_tensor(slice, t);
  EXPECT_TRUE(slice.equal(at::arange(2, 4, at::kFloat)));
  group->reduce_scatter_v(uneven, t, {1, 3, 2, 2});
  EXPECT_TRUE(uneven.equal(at::arange(1, 4, at::kFloat)));
  auto all = at::zeros({8});
  group->all_gather_into_tensor(all, slice);
  EXPECT_TRUE(all.equal(at::tensor({0.f, 0.f, 2.f, 3.f, 0.f, 0.f, 0.f, 0.f})));
  EXPECT_EQ(group->all_gather_object("x").size(), 4u);
}

TEST(Fake, SubgroupsShareTheLog) {
  FakeLog log;
  auto group = fake_group(5, 8, &log);
  auto pair = group->new_group({4, 5}, "pair");
  EXPECT_EQ(group->new_group({0, 1}), nullptr);
  auto t = at::ones({1});
  pair->all_reduce(t);
  ASSERT_EQ(log.entries().size(), 1u);
  EXPECT_EQ(log.entries()[0].group, "pair");
  log.clear();
  EXPECT_TRUE(log.names().empty());
}

TEST(Fake, AnObserverSeesTheOperationsOfARealGroupToo) {
  run_ranks(2, [](GroupPtr group) {
    FakeLog log;
    group->set_observer([&](const OpRecord& record) { log.add(record); });
    auto t = at::ones({6});
    group->all_reduce(t);
    group->reduce_scatter_v(group->rank() == 0 ? at::zeros({2}) : at::zeros({4}), t, {2, 4});
    group->set_observer(nullptr);
    group->barrier();
    EXPECT_THAT(log.names(), ElementsAre("all_reduce", "reduce_scatter_v"));
  });
}

}  // namespace
}  // namespace deepspeed::comm
