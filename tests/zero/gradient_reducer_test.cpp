#include "deepspeed/zero/gradient_reducer.h"

#include <gtest/gtest.h>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/fake.h"
#include "deepspeed/comm/ranks.h"

namespace deepspeed::zero {
namespace {

using partition::Layout;

const std::vector<partition::ParamSize> kParams = {{"a", 7}, {"b", 1}, {"c", 12}, {"d", 0}, {"e", 5}};

ZeroConfig config(int stage, int64_t bucket, bool scatter = true) {
  ZeroConfig c;
  c.stage = stage;
  c.reduce_bucket_size = bucket;
  c.reduce_scatter = scatter;
  return c;
}

// A gradient that depends on parameter, rank and micro-batch; sums of it are exact in fp32.
at::Tensor gradient(size_t param, int rank, int micro) {
  return at::arange(kParams[param].numel, at::kFloat) * (rank + 1) + static_cast<double>(16 * param) +
         4.0 * micro;
}

at::Tensor expected(const Layout& layout, int world, int micros) {
  at::Tensor whole = at::zeros({layout.padded_numel()});
  for (size_t p = 0; p < kParams.size(); ++p)
    for (int rank = 0; rank < world; ++rank)
      for (int micro = 0; micro < micros; ++micro)
        whole.narrow(0, layout.flat_offset(p), kParams[p].numel).add_(gradient(p, rank, micro), 1.0 / world);
  return whole;
}

// This rank's part of it, as the layout of the stage cuts it.
at::Tensor expected_shard(const Layout& layout, int rank, int world, int micros) {
  const Layout flat = Layout::concatenated(kParams, world);
  const at::Tensor whole = expected(flat, world, micros);
  at::Tensor shard = at::zeros({layout.shard_numel()});
  for (const auto& piece : layout.pieces(rank))
    shard.narrow(0, piece.shard_offset, piece.count)
        .copy_(whole.narrow(0, flat.flat_offset(piece.param) + piece.begin, piece.count));
  return shard;
}

struct Case {
  int stage, world;
  int64_t bucket;
  bool scatter;
};

class Reducers : public testing::TestWithParam<Case> {};

// What comes of gradients that `hand_over` brings to the reducer, one and three micro-batches after each
// other.
using HandOver = std::function<void(GradientReducer&, size_t param, const at::Tensor& gradient)>;

void expect_means(const Case& c, const HandOver& hand_over) {
  comm::run_ranks(c.world, [&](comm::GroupPtr group) {
    const Layout layout =
        c.stage == 3 ? Layout::per_parameter(kParams, c.world) : Layout::concatenated(kParams, c.world);
    const ZeroConfig zero = config(c.stage, c.bucket, c.scatter);
    GradientReducer reducer(layout, state_table(zero), zero, group, at::kFloat);
    for (int micros : {1, 3}) {
      reducer.clear();
      for (int micro = 0; micro < micros; ++micro) {
        reducer.set_boundary(micro + 1 == micros);
        for (size_t p = kParams.size(); p-- > 0;) hand_over(reducer, p, gradient(p, group->rank(), micro));
        reducer.finish();
      }
      const at::Tensor want = expected_shard(layout, group->rank(), c.world, micros);
      EXPECT_TRUE(at::allclose(reducer.shard(), want, 1e-6, 1e-6)) << reducer.shard() << want;
    }
  });
}

TEST_P(Reducers, AverageEveryGradientOverRanksAndMicroBatches) {
  expect_means(GetParam(),
               [](GradientReducer& reducer, size_t p, const at::Tensor& g) { reducer.add(p, g); });
}

TEST_P(Reducers, FindGradientsThatWereComputedInTheirPlaces) {
  expect_means(GetParam(), [](GradientReducer& reducer, size_t p, const at::Tensor& g) {
    const at::Tensor place = reducer.place(p);
    reducer.add(p, place.defined() ? place.copy_(g) : g);
  });
}

INSTANTIATE_TEST_SUITE_P(StagesWorldsAndBuckets, Reducers,
                         testing::Values(Case{0, 1, 100, true}, Case{0, 2, 6, true}, Case{1, 2, 6, true},
                                         Case{2, 2, 6, true}, Case{1, 2, 1000, true}, Case{2, 2, 1000, true},
                                         Case{2, 3, 1, true}, Case{1, 3, 9, true}, Case{2, 2, 6, false},
                                         Case{1, 3, 6, false}, Case{3, 1, 6, true}, Case{3, 2, 6, true},
                                         Case{3, 2, 1000, true}, Case{3, 3, 9, true}, Case{3, 3, 9, false},
                                         Case{3, 30, 8, true},
                                         Case{2, 30, 8, true}));  // more ranks than elements of any parameter

TEST(GradientReducer, GivesAPlaceOnceAWindowAndNeverOverASum) {
  for (int stage : {0, 1, 2}) {
    const Layout layout = Layout::concatenated({{"a", 4}, {"b", 4}}, 1);
    const ZeroConfig zero = config(stage, 8);
    GradientReducer reducer(layout, state_table(zero), zero, comm::single_group(), at::kFloat);
    reducer.set_boundary(false);
    at::Tensor place = reducer.place(1);
    ASSERT_TRUE(place.defined());
    EXPECT_FALSE(reducer.place(1).defined()) << "it is lent already";
    reducer.add(1, place.fill_(2));
    place.reset();
    EXPECT_FALSE(reducer.place(1).defined()) << "its gradient has come";
    reducer.finish();
    EXPECT_EQ(reducer.place(1).defined(), stage == 2) << "a whole sum lies there";
    reducer.clear();
    EXPECT_TRUE(reducer.place(1).defined());
  }
}

TEST(GradientReducer, LeavesAGradientThatIsStillWantedWithItsHolderWhenAnotherComes) {
  for (int stage : {0, 1, 2}) {
    const Layout layout = Layout::concatenated({{"a", 4}}, 1);
    const ZeroConfig zero = config(stage, 8);
    GradientReducer reducer(layout, state_table(zero), zero, comm::single_group(), at::kFloat);
    const at::Tensor kept = reducer.place(0).fill_(3);  // computed in forward, its backward comes later
    reducer.set_boundary(false);
    reducer.add(0, at::full({4}, 5.0));
    reducer.finish();
    EXPECT_EQ(kept[0].item<double>(), 3);
    reducer.set_boundary(true);
    reducer.add(0, kept);
    reducer.finish();
    EXPECT_EQ(reducer.shard()[0].item<double>(), 8);
  }
}

TEST(GradientReducer, ClearsThePlaceOfAParameterThatGotNoGradientAfterAll) {
  for (int stage : {0, 1, 2}) {
    const Layout layout = Layout::concatenated({{"a", 4}}, 1);
    const ZeroConfig zero = config(stage, 8);
    GradientReducer reducer(layout, state_table(zero), zero, comm::single_group(), at::kFloat);
    const at::Tensor kept = reducer.place(0).fill_(3);  // a forward whose loss nobody wanted
    reducer.finish();
    EXPECT_EQ(reducer.shard().sum().item<double>(), 0);
    EXPECT_EQ(kept[0].item<double>(), 3);
    EXPECT_EQ(reducer.place(0).defined(), stage == 2) << "the optimizer has yet to read it";
  }
}

TEST(GradientReducer, TreatsUnusedParametersAsZeroAndNamesThem) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    const Layout layout = Layout::concatenated(kParams, 2);
    const ZeroConfig zero = config(2, 8);
    GradientReducer reducer(layout, state_table(zero), zero, group, at::kFloat);
    std::vector<size_t> unused;
    reducer.add(2, at::ones({12}));
    reducer.finish([&](size_t p) { unused.push_back(p); });
    EXPECT_EQ(unused, (std::vector<size_t>{0, 1, 3, 4}));
    EXPECT_EQ(reducer.shard().sum().item<double>(),
              group->rank() == 0 ? 6 : 6);  // c is [8, 20), the cut is at 14 of 28
  });
}

TEST(GradientReducer, IssuesABucketAsSoonAsItIsCompleteAndNeverBeforeItsTurn) {
  comm::FakeLog log;
  const Layout layout = Layout::concatenated({{"a", 4}, {"b", 4}, {"c", 4}}, 2);
  const ZeroConfig zero = config(2, 4);
  GradientReducer reducer(layout, state_table(zero), zero, comm::fake_group(0, 2, &log), at::kFloat);
  const at::Tensor g = at::ones({4});
  reducer.add(1, g);  // b is complete, but c comes first in the plan
  EXPECT_TRUE(log.entries().empty());
  reducer.add(2, g);
  EXPECT_EQ(log.entries().size(), 2u);
  reducer.add(0, g);
  EXPECT_EQ(log.entries().size(), 3u);
}

TEST(GradientReducer, WaitsForTheBoundaryWhereGradientsAreWhole) {
  comm::FakeLog log;
  const Layout layout = Layout::concatenated({{"a", 4}, {"b", 4}}, 2);
  const ZeroConfig zero = config(1, 4);
  GradientReducer reducer(layout, state_table(zero), zero, comm::fake_group(0, 2, &log), at::kFloat);
  reducer.set_boundary(false);
  reducer.add(1, at::ones({4}));
  reducer.add(0, at::ones({4}));
  reducer.finish();
  EXPECT_TRUE(log.entries().empty());
}

TEST(GradientReducer, RefusesAGradientThatComesAfterItsBucketWasReduced) {
  comm::FakeLog log;
  const Layout layout = Layout::concatenated({{"weight", 4}}, 2);
  const ZeroConfig zero = config(2, 4);
  GradientReducer reducer(layout, state_table(zero), zero, comm::fake_group(0, 2, &log), at::kFloat);
  reducer.add(0, at::ones({4}));
  EXPECT_THROW(reducer.add(0, at::ones({4})), base::Error);
}

TEST(GradientReducer, AccumulatesSixteenBitGradientsInTheAskedPrecision) {
  const Layout layout = Layout::concatenated({{"a", 2}}, 1);
  const ZeroConfig zero = config(0, 4);
  GradientReducer reducer(layout, state_table(zero), zero, comm::single_group(), at::kFloat);
  reducer.set_boundary(false);
  reducer.add(0, at::full({2}, 256.0, at::kBFloat16));
  reducer.finish();
  reducer.set_boundary(true);
  reducer.add(0, at::full({2}, 1.0, at::kBFloat16));
  reducer.finish();
  EXPECT_EQ(reducer.shard()[0].item<float>(), 257.0f);  // bf16 would have lost the 1
}

TEST(GradientReducer, AveragesSixteenBitGradientsOfThreeRanksWithoutBias) {
  comm::run_ranks(3, [&](comm::GroupPtr group) {
    const Layout layout = Layout::concatenated({{"a", 3000}}, 3);
    const at::Tensor g = at::linspace(1, 2, 3000).to(at::kBFloat16);
    const at::Tensor want = g.to(at::kDouble).narrow(0, group->rank() * 1000, 1000);
    for (int stage : {0, 1, 2})
      for (int micro_batches : {1, 2}) {
        const ZeroConfig zero = config(stage, 4000);
        GradientReducer reducer(layout, state_table(zero), zero, group, at::kBFloat16);
        for (int m = 1; m <= micro_batches; ++m) {
          reducer.set_boundary(m == micro_batches);
          reducer.add(0, g);
          reducer.finish();
        }
        const double mean = (reducer.shard().to(at::kDouble) / want).mean().item<double>();
        EXPECT_NEAR(mean / micro_batches, 1.0, 2e-4)
            << "stage " << stage << ", micro-batches " << micro_batches;
      }
  });
}

}  // namespace
}  // namespace deepspeed::zero
