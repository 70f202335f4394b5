// What a user sees when a collective is misused, hangs, or loses a peer.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <regex>

#include "deepspeed/base/error.h"
#include "tests/comm/over_backends.h"

namespace deepspeed::comm {
namespace {

class Failure : public OverBackends {};

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const base::Error& error) {
    EXPECT_THAT(std::string(error.what()), Not(HasSubstr("\n")));
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

double seconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

TEST_P(Failure, ATimeoutNamesOperationGroupAndRank) {
  run_here(2, [](GroupPtr world) {
    auto group = world->new_group({0, 1}, "pair");
    auto t = at::ones({8});
    group->all_reduce(t);
    if (world->rank() == 1) {
      group->set_timeout(milliseconds(300));
      const auto text = message_of([&] { group->all_reduce(t); });
      EXPECT_TRUE(std::regex_search(text, std::regex("^all_reduce #2 of group 'pair' timed out on rank 1 "
                                                     "after [0-9]+\\.[0-9] s \\(limit 0\\.3 s\\)")))
          << text;
      EXPECT_THAT(message_of([&] { group->all_reduce(t); }), HasSubstr("all_reduce #3 of group 'pair'"));
    }
    world->barrier();
  });
}

TEST_P(Failure, AnAsynchronousTimeoutIsReportedByWaitEachTime) {
  std::latch reported(1);
  run_here(2, [&](GroupPtr world) {
    auto group = world->new_group({0, 1});
    if (world->rank() == 1) return reported.wait();
    group->set_timeout(milliseconds(200));
    auto output = at::zeros({4});
    auto work = group->reduce_scatter_tensor(output, at::ones({8}), ReduceOp::kSum, true);
    const auto first = message_of([&] { work->wait(); });
    EXPECT_THAT(first, HasSubstr("reduce_scatter_tensor #1 of group 'world/0' timed out on rank 0"));
    EXPECT_EQ(message_of([&] { work->wait(); }), first);
    reported.count_down();
  });
}

TEST_P(Failure, ALostPeerIsAnErrorAtOnce) {
  for (const bool exchange : {false, true}) {
    const auto start = steady_clock::now();
    std::atomic<int> told = 0;
    const auto text = message_of([&] {
      run_here(3, [&](GroupPtr group) {
        if (group->rank() == 1) base::fail("rank 1 ran out of luck");
        auto t = at::ones({3 * 100000}), out = at::zeros({100000});
        try {
          exchange ? group->reduce_scatter_tensor(out, t) : group->all_reduce(t);
        } catch (const base::Error& error) {
          EXPECT_THAT(error.what(), AllOf(HasSubstr(exchange ? "reduce_scatter_tensor #1" : "all_reduce #1"),
                                          HasSubstr("group 'world' failed on rank")));
          ++told;
          throw;
        }
      });
    });
    EXPECT_EQ(text, "rank 1 ran out of luck");
    EXPECT_EQ(told, 2);
    EXPECT_LT(seconds_since(start), 5);
  }
}

TEST_P(Failure, RanksThatWaitInDifferentGroupsAreAllReleased) {
  const auto start = steady_clock::now();
  EXPECT_THROW(run_here(2,
                        [](GroupPtr world) {
                          auto a = world->new_group({0, 1}, "a"), b = world->new_group({0, 1}, "b");
                          if (world->rank() == 1) {
                            b->barrier();  // rank 0 never comes
                            return;
                          }
                          auto t = at::ones({10});
                          auto pending = a->all_reduce(t, ReduceOp::kSum, true);  // rank 1 never comes
                          base::fail("rank 0 fails with work under way");
                        }),
               base::Error);
  EXPECT_LT(seconds_since(start), 5);
}

TEST_P(Failure, ARankThatFailsWhileGroupsAreMadeReleasesTheOthers) {
  const auto start = steady_clock::now();
  EXPECT_THROW(run_here(2,
                        [](GroupPtr world) {
                          if (world->rank() == 0) base::fail("no group for rank 0");
                          world->new_group({0, 1});
                        }),
               base::Error);
  EXPECT_LT(seconds_since(start), 5);
}

TEST_P(Failure, OperationsOnAClosedWorldSaySo) {
  GroupPtr kept;
  EXPECT_THROW(run_here(2,
                        [&](GroupPtr world) {
                          if (world->rank() == 0) {
                            kept = world;
                            base::fail("gone");
                          }
                        }),
               base::Error);
  EXPECT_THAT(message_of([&] { kept->barrier(); }), HasSubstr("closed"));
}

TEST_P(Failure, MisuseIsOneClearLine) {
  auto group = single_group();
  auto t = at::ones({4}), grid = at::ones({4, 4});
  const auto says = [&](const std::string& part, const std::function<void()>& body) {
    EXPECT_THAT(message_of(body), AllOf(HasSubstr(part), HasSubstr("of group 'world' failed on rank 0")));
  };
  says("not contiguous", [&] { group->all_reduce(grid.t()); });
  says("undefined", [&] { group->all_reduce(at::Tensor()); });
  says("on meta, the group on cpu", [&] { group->all_reduce(at::empty({1}, at::kMeta)); });
  says("kAvg needs a floating dtype, got Long",
       [&] { group->all_reduce(at::ones({1}, at::kLong), ReduceOp::kAvg); });
  says("integral dtype, got Float", [&] { group->all_reduce(t, ReduceOp::kBand); });
  says("kMin, kMax", [&] { group->all_reduce(at::ones({1}, at::kBool)); });
  says("root 1 is not in 0 ... 0", [&] { group->broadcast(t, 1); });
  says("output is Float, input Long", [&] { group->all_gather_into_tensor(t, at::ones({4}, at::kLong)); });
  says("output has 4 elements, input 3 on each of 1 ranks",
       [&] { group->all_gather_into_tensor(t, at::ones({3})); });
  says("the splits add up to 5, input has 4 elements", [&] { group->reduce_scatter_v(t, t, {5}); });
  says("outputs has 2 entries, the group 1 ranks", [&] { group->all_gather({t, t}, t); });
  says("the splits of input add up to 3", [&] { group->all_to_all_single(t, t, {4}, {3}); });
  says("itself", [&] { group->send(t, 0); });
  says("peer 2", [&] { group->recv(t, 2); });
  EXPECT_THAT(message_of([&] { group->new_group({1}); }), HasSubstr("rank 1 is not in 0 ... 0"));
  EXPECT_THAT(message_of([&] { group->new_group({0, 0}); }), HasSubstr("twice"));
}

INSTANTIATE_TEST_SUITE_P(, Failure, kCpuBackends, backend_name);

}  // namespace
}  // namespace deepspeed::comm
