// Messages between two ranks, barriers, byte strings, subgroups.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/together.h"
#include "tests/comm/over_backends.h"

namespace deepspeed::comm {
namespace {

class Messages : public OverBackends {};
class Groups : public OverBackends {};

using ::testing::ElementsAre;
using ::testing::IsNull;

TEST_P(Messages, SentTensorsArriveByTag) {
  run_here(2, [](GroupPtr group) {
    auto a = at::full({3}, 1.0), b = at::full({4}, 2.0), empty = at::zeros({0});
    if (group->rank() == 0) {
      group->send(a, 1, 7);
      auto later = group->isend(b, 1, 9);
      group->send(empty, 1);
      later->wait();
    } else {
      auto x = at::zeros({3}), y = at::zeros({4});
      auto second = group->irecv(y, 0, 9);
      group->recv(x, 0, 7);
      group->recv(empty, 0);
      second->wait();
      EXPECT_TRUE(x.equal(a));
      EXPECT_TRUE(y.equal(b));
    }
  });
}

TEST_P(Messages, ABatchOfSendsAndReceivesMakesARing) {
  run_here(3, [](GroupPtr group) {
    auto mine = at::full({1000}, static_cast<double>(group->rank())), left = at::zeros({1000});
    const int n = group->size(), r = group->rank();
    auto works = group->batch_isend_irecv(
        {{P2POp::Kind::kSend, mine, (r + 1) % n}, {P2POp::Kind::kRecv, left, (r + n - 1) % n}});
    for (auto& work : works) work->wait();
    EXPECT_TRUE(left.equal(at::full({1000}, static_cast<double>((r + n - 1) % n))));
  });
}

TEST_P(Messages, BarrierHoldsEveryoneUntilTheLastArrives) {
  std::atomic<int> arrived = 0;
  run_here(3, [&](GroupPtr group) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20 * group->rank()));
    ++arrived;
    group->barrier();
    EXPECT_EQ(arrived, 3);
    group->monitored_barrier(std::chrono::seconds(5));
    group->barrier(true)->wait();
  });
}

TEST_P(Messages, MonitoredBarrierNamesTheMissingRanksOnEveryRank) {
  std::atomic<int> told = 0;
  run_here(4, [&](GroupPtr group) {
    if (group->rank() != 1 && group->rank() != 3) {
      try {
        group->monitored_barrier(std::chrono::milliseconds(700));
      } catch (const base::Error& error) {
        EXPECT_THAT(error.what(), ::testing::HasSubstr("ranks 1, 3 did not arrive within 0.7 s"));
        EXPECT_THAT(error.what(), ::testing::HasSubstr("group 'world'"));
        ++told;
      }
    }
    group->barrier();
  });
  EXPECT_EQ(told, 2);
}

TEST_P(Messages, WhatOneRankFailsAtIsEveryRanksError) {
  run_here(3, [](GroupPtr group) {
    int done = 0;
    together(*group, "adding", [&] { ++done; });
    EXPECT_EQ(done, 1);
    try {
      together(*group, "adding", [&] { DS_CHECK(group->rank() == 0, "rank {} cannot", group->rank()); });
      ADD_FAILURE() << "rank " << group->rank() << " did not learn of it";
    } catch (const base::Error& error) {
      EXPECT_STREQ(error.what(), "adding: rank 1: rank 1 cannot");
    }
  });
}

TEST_P(Messages, ByteStringsOfAnyLengthAreShared) {
  run_here(3, [](GroupPtr group) {
    const std::string mine =
        std::string(static_cast<size_t>(group->rank()) * 1000, 'x') + std::string(1, '\0');
    const auto all = group->all_gather_object(group->rank() == 1 ? std::string() : mine);
    ASSERT_EQ(all.size(), 3u);
    EXPECT_EQ(all[0], std::string(1, '\0'));
    EXPECT_EQ(all[1], "");
    EXPECT_EQ(all[2].size(), 2001u);
    EXPECT_EQ(group->all_gather_object(""), std::vector<std::string>(3));
    std::vector<std::string> list;
    if (group->rank() == 2) list = {"a", "", std::string(70000, 'b')};
    list = group->broadcast_object_list(list, 2);
    EXPECT_THAT(list, ElementsAre("a", "", std::string(70000, 'b')));
    EXPECT_TRUE(group->broadcast_object_list({}, 0).empty());
  });
}

TEST_P(Groups, SubgroupsNumberTheirMembersInTheGivenOrder) {
  run_here(4, [](GroupPtr world) {
    auto odd = world->new_group({3, 1}, "odd");
    auto even = world->new_group({0, 2});
    auto lone = world->new_group({2});
    if (world->rank() % 2 == 1) {
      EXPECT_THAT(even, IsNull());
      EXPECT_EQ(odd->name(), "odd");
      EXPECT_EQ(odd->rank(), world->rank() == 3 ? 0 : 1);
      EXPECT_THAT(odd->global_ranks(), ElementsAre(3, 1));
      auto t = at::full({2}, static_cast<double>(world->rank()));
      odd->broadcast(t, 0);
      EXPECT_EQ(t[0].item<double>(), 3);
    } else {
      EXPECT_THAT(odd, IsNull());
      EXPECT_EQ(even->name(), "world/1");
      auto t = at::ones({2});
      even->all_reduce(t);
      EXPECT_EQ(t[0].item<double>(), 2);
      auto nested = even->new_group({1});
      EXPECT_EQ(nested != nullptr, world->rank() == 2);
    }
    EXPECT_EQ(lone != nullptr, world->rank() == 2);
    if (lone) {
      EXPECT_EQ(lone->all_gather_object("x").size(), 1u);
    }
    world->barrier();
  });
}

TEST_P(Groups, ARankMayLeaveWithoutHavingSaidAnything) {
  for (int i = 0; i < 20; ++i) {
    run_here(3, [](GroupPtr world) { world->new_group({2, 0}); });
  }
}

TEST_P(Groups, DisjointGroupsMayBeMadeByOneCallEach) {
  run_here(4, [](GroupPtr world) {
    // Each rank names only its own half, as DeepSpeed's users do when every rank computes its own list.
    const int half = world->rank() / 2;
    auto mine = world->new_group({2 * half, 2 * half + 1});
    auto t = at::full({1}, static_cast<double>(half + 1));
    mine->all_reduce(t);
    EXPECT_EQ(t.item<double>(), 2.0 * (half + 1));
  });
}

TEST_P(Groups, OneRankNeedsNoNetwork) {
  auto group = single_group();
  auto t = at::arange(4, at::kFloat);
  group->all_reduce(t, ReduceOp::kAvg);
  EXPECT_TRUE(t.equal(at::arange(4, at::kFloat)));
  auto out = at::zeros({4});
  group->reduce_scatter_v(out, t, {4}, ReduceOp::kAvg, true)->wait();
  EXPECT_TRUE(out.equal(t));
  group->barrier();
  group->monitored_barrier(std::chrono::milliseconds(1));
  EXPECT_THROW(group->send(t, 0), base::Error);
}

INSTANTIATE_TEST_SUITE_P(, Messages, kCpuBackends, backend_name);
INSTANTIATE_TEST_SUITE_P(, Groups, kCpuBackends, backend_name);

}  // namespace
}  // namespace deepspeed::comm
