#include "deepspeed/comm/traffic.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/ranks.h"

namespace deepspeed::comm {
namespace {

// What one operation hands to each of the other ranks, on rank `me` of three.
struct Case {
  const char* name;
  std::function<void(Group&)> call;
  std::vector<std::vector<int64_t>> sent;  // [from][to]
};

std::vector<Case> cases() {
  const auto ones = [](int64_t n) { return at::ones({n}); };
  return {
      {"all_reduce", [=](Group& g) { g.all_reduce(ones(6)); }, {{0, 16, 16}, {16, 0, 16}, {16, 16, 0}}},
      {"broadcast", [=](Group& g) { g.broadcast(ones(5), 1); }, {{0, 0, 0}, {20, 0, 20}, {0, 0, 0}}},
      {"reduce", [=](Group& g) { g.reduce(ones(5), 1); }, {{0, 20, 0}, {0, 0, 0}, {0, 20, 0}}},
      {"all_gather",
       [=](Group& g) { g.all_gather_into_tensor(ones(6), ones(2)); },
       {{0, 8, 8}, {8, 0, 8}, {8, 8, 0}}},
      {"reduce_scatter",
       [=](Group& g) { g.reduce_scatter_tensor(ones(2), ones(6)); },
       {{0, 8, 8}, {8, 0, 8}, {8, 8, 0}}},
      {"reduce_scatter_v",
       [=](Group& g) {
         g.reduce_scatter_v(ones(g.rank()), ones(3), {0, 1, 2});
       },
       {{0, 4, 8}, {0, 0, 8}, {0, 4, 0}}},
      {"all_to_all_single",
       [=](Group& g) {
         g.all_to_all_single(at::ones({3, 2}, at::kByte), at::ones({3, 2}, at::kByte));
       },
       {{0, 2, 2}, {2, 0, 2}, {2, 2, 0}}},
      {"all_to_all of uneven slices",
       [=](Group& g) {
         const int64_t me = g.rank();
         g.all_to_all_single(ones(3 * (me + 1)), ones(6), {me + 1, me + 1, me + 1}, {1, 2, 3});
       },
       {{0, 8, 12}, {4, 0, 12}, {4, 8, 0}}},
      {"gather",
       [=](Group& g) {
         g.gather({ones(2), ones(2), ones(2)}, ones(2), 2);
       },
       {{0, 0, 8}, {0, 0, 8}, {0, 0, 0}}},
      {"scatter",
       [=](Group& g) {
         g.scatter(ones(2), {ones(2), ones(2), ones(2)}, 0);
       },
       {{0, 8, 8}, {0, 0, 0}, {0, 0, 0}}},
      {"send",
       [=](Group& g) {
         if (g.rank() == 0) g.send(ones(7), 2);
         if (g.rank() == 2) g.recv(ones(7), 0);
       },
       {{0, 0, 28}, {0, 0, 0}, {0, 0, 0}}},
      {"barrier", [](Group& g) { g.barrier(); }, {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}}},
  };
}

TEST(Traffic, CountsWhatEachOperationHandsToEachRank) {
  for (const Case& c : cases())
    run_ranks(3, [&](GroupPtr group) {
      Traffic traffic;
      group->set_observer(traffic.observer());
      c.call(*group);
      group->set_observer(nullptr);
      for (int to = 0; to < 3; ++to)
        EXPECT_EQ(traffic.sent([&](const Traffic::Flow& flow) { return flow.to == to; }),
                  c.sent[group->rank()][to])
            << c.name << ": " << group->rank() << " to " << to;
    });
}

TEST(Traffic, OfAGroupOfSomeRanksIsCountedByTheirNumbersInTheWorld) {
  run_ranks(3, [](GroupPtr group) {
    Traffic traffic;
    group->set_observer(traffic.observer());
    const auto pair = group->new_group({2, 0}, "pair");
    if (pair) pair->all_gather_into_tensor(at::ones({2}), at::ones({1}));
    group->set_observer(nullptr);
    if (pair) pair->set_observer(nullptr);
    EXPECT_EQ(traffic.sent([&](const Traffic::Flow& flow) {
      return flow.group == "pair" && flow.operation == "all_gather_into_tensor" &&
             flow.to == 2 - group->rank();
    }),
              pair ? 4 : 0);
    EXPECT_EQ(traffic.sent(), pair ? 4 : 0);
    traffic.clear();
    EXPECT_EQ(traffic.sent(), 0);
  });
}

TEST(Traffic, WrongListsAreStillTheOperationsOwnErrors) {
  run_ranks(2, [](GroupPtr group) {
    Traffic traffic;
    group->set_observer(traffic.observer());
    EXPECT_THROW(group->reduce_scatter_v(at::ones({1}), at::ones({2}), {2}), base::Error);
    EXPECT_THROW(group->all_to_all({at::ones({1})}, {at::ones({1})}), base::Error);
    EXPECT_THROW(group->all_reduce(at::Tensor()), base::Error);
    group->set_observer(nullptr);
  });
}

}  // namespace
}  // namespace deepspeed::comm
