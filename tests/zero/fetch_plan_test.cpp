#include "deepspeed/zero/fetch_plan.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>

namespace deepspeed::zero {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr FetchLimits kGenerous{.prefetch = 1000, .max_live = 1000, .max_reuse_distance = 1000};

std::vector<FetchEvent> forward_and_backward(size_t units) {
  std::vector<FetchEvent> events;
  for (size_t u = 0; u < units; ++u) events.insert(events.end(), {{u, true}, {u, false}});
  for (size_t u = units; u-- > 0;) events.insert(events.end(), {{u, true}, {u, false}});
  return events;
}

TEST(FetchPlan, FetchesAndReleasesEachUnitAroundItsUseWhereNothingMayWait) {
  const auto plan = plan_fetches({{0}, {1}}, {10, 10}, forward_and_backward(2),
                                 {.prefetch = 0, .max_live = 1000, .max_reuse_distance = 0});
  EXPECT_THAT(plan[0].fetch, ElementsAre(0));
  EXPECT_THAT(plan[1].release, ElementsAre(0));
  EXPECT_THAT(plan[2].fetch, ElementsAre(1));
  EXPECT_THAT(plan[3].release, ElementsAre(1));
  EXPECT_THAT(plan[4].fetch, ElementsAre(1));
  EXPECT_THAT(plan[6].fetch, ElementsAre(0));
  EXPECT_THAT(plan[7].release, ElementsAre(0));
}

TEST(FetchPlan, GathersAheadUpToTheBucketInTheOrderOfUse) {
  const auto plan = plan_fetches({{0}, {1}, {2}}, {10, 10, 10}, forward_and_backward(3),
                                 {.prefetch = 10, .max_live = 1000, .max_reuse_distance = 0});
  EXPECT_THAT(plan[0].fetch, ElementsAre(0, 1));
  EXPECT_THAT(plan[2].fetch, ElementsAre(2));  // 1 is in use now, so the bucket has room again
}

TEST(FetchPlan, KeepsWhatIsUsedAgainSoonAndNoMoreThanMayLive) {
  const auto events = forward_and_backward(3);
  // The last unit is used again at once, the first one after 40 elements.
  auto plan = plan_fetches({{0}, {1}, {2}}, {10, 10, 10}, events,
                           {.prefetch = 0, .max_live = 1000, .max_reuse_distance = 30});
  EXPECT_THAT(plan[1].release, ElementsAre(0));
  EXPECT_THAT(plan[3].release, IsEmpty());
  EXPECT_THAT(plan[5].release, IsEmpty());
  plan = plan_fetches({{0}, {1}, {2}}, {10, 10, 10}, events,
                      {.prefetch = 0, .max_live = 20, .max_reuse_distance = 1000});
  EXPECT_THAT(plan[4].release, ElementsAre(0));  // room for 2, taken from what is used last
}

TEST(FetchPlan, GathersATiedParameterOnceForAllUnitsThatHoldIt) {
  const std::vector<FetchEvent> events = {{0, true}, {1, true}, {1, false}, {0, false}};
  const auto plan = plan_fetches({{0, 1}, {1}}, {5, 5}, events, kGenerous);
  EXPECT_THAT(plan[0].fetch, ElementsAre(0, 1));
  EXPECT_THAT(plan[1].fetch, IsEmpty());
  EXPECT_THAT(plan[2].release, IsEmpty());
  EXPECT_THAT(plan[3].release, ElementsAre(0, 1));
}

struct World {
  FetchUnits units;
  std::vector<int64_t> numel;
  std::vector<FetchEvent> events;
};

World random_world(std::mt19937& random) {
  World w;
  const size_t params = 1 + random() % 8, units = 1 + random() % 6;
  for (size_t p = 0; p < params; ++p) w.numel.push_back(1 + static_cast<int64_t>(random() % 20));
  for (size_t u = 0; u < units; ++u) {
    w.units.emplace_back();
    for (size_t p = 0; p < params; ++p)
      if (random() % 3 == 0) w.units.back().push_back(p);
  }
  std::vector<size_t> open;  // Blocks nest
  for (int i = 0; i < 40; ++i) {
    if (!open.empty() && random() % 2 == 0) {
      w.events.push_back({open.back(), false});
      open.pop_back();
    } else {
      open.push_back(random() % units);
      w.events.push_back({open.back(), true});
    }
  }
  for (; !open.empty(); open.pop_back()) w.events.push_back({open.back(), false});
  return w;
}

TEST(FetchPlan, HasEveryParameterWhereItIsNeededWithinTheLimitsAndNoneAtTheEnd) {
  std::mt19937 random(11);
  for (int round = 0; round < 500; ++round) {
    const World w = random_world(random);
    const FetchLimits limits{.prefetch = static_cast<int64_t>(random() % 40),
                             .max_live = static_cast<int64_t>(random() % 80),
                             .max_reuse_distance = static_cast<int64_t>(random() % 80)};
    const auto plan = plan_fetches(w.units, w.numel, w.events, limits);
    ASSERT_EQ(plan.size(), w.events.size());
    std::vector<int> held(w.numel.size(), 0);
    std::vector<char> here(w.numel.size(), 0);
    const auto elements = [&](const auto& flags) {
      int64_t sum = 0;
      for (size_t p = 0; p < w.numel.size(); ++p) sum += flags[p] ? w.numel[p] : 0;
      return sum;
    };
    for (size_t i = 0; i < plan.size(); ++i) {
      for (const size_t p : w.units[w.events[i].unit]) held[p] += w.events[i].acquires ? 1 : -1;
      for (const size_t p : plan[i].release) {
        ASSERT_TRUE(here[p] && held[p] == 0);
        here[p] = 0;
      }
      for (const size_t p : plan[i].fetch) {
        ASSERT_FALSE(here[p]);
        here[p] = 1;
      }
      for (size_t p = 0; p < held.size(); ++p) ASSERT_TRUE(held[p] == 0 || here[p]);
      if (w.events[i].acquires) {
        ASSERT_LE(elements(here), std::max(limits.max_live, elements(held)));
      }
    }
    ASSERT_EQ(elements(here), 0);
  }
}

TEST(FetchPlan, OfAThousandBlocksTakesNoTimeWorthMentioning) {
  FetchUnits units;
  for (size_t u = 0; u < 1000; ++u) units.push_back({u});
  const auto plan = plan_fetches(units, std::vector<int64_t>(1000, 100), forward_and_backward(1000),
                                 {.prefetch = 500, .max_live = 2000, .max_reuse_distance = 1000});
  EXPECT_EQ(plan.size(), 4000u);
}

}  // namespace
}  // namespace deepspeed::zero
