#include "deepspeed/zero/reduction_scale.h"

#include <gtest/gtest.h>

#include "deepspeed/comm/ranks.h"
#include "deepspeed/zero/gradient_reducer.h"

namespace deepspeed::zero {
namespace {

ZeroConfig config(int stage, const ReductionConfig& reduction = {}, bool scatter = true) {
  ZeroConfig c;
  c.stage = stage;
  c.reduce_scatter = scatter;
  c.reduce_bucket_size = 6;
  c.reduction = reduction;
  return c;
}

ReductionScale scale(const ZeroConfig& c, at::ScalarType wire) {
  return reduction_scale(c, state_table(c), 4, wire);
}

TEST(ReductionScale, DividesAfterTheSumOfSixteenBitGradientsOfWholeStates) {
  EXPECT_EQ(scale(config(0), at::kHalf), (ReductionScale{1, 0.25}));
  EXPECT_EQ(scale(config(1, {}, /*scatter=*/false), at::kHalf), (ReductionScale{1, 0.25}));
}

TEST(ReductionScale, LeavesTheMeanOfFp32GradientsToTheReduction) {
  for (int stage : {0, 1, 2, 3})
    for (bool scatter : {true, false})
      EXPECT_EQ(scale(config(stage, {}, scatter), at::kFloat), (ReductionScale{.op = comm::ReduceOp::kAvg}));
}

TEST(ReductionScale, DividesBeforeReductionsToTheirOwners) {
  for (int stage : {1, 2, 3}) EXPECT_EQ(scale(config(stage), at::kHalf), (ReductionScale{0.25, 1}));
}

TEST(ReductionScale, DividesBeforeEveryReductionOfShardedParameters) {
  EXPECT_EQ(scale(config(3, {}, /*scatter=*/false), at::kHalf), (ReductionScale{0.25, 1}));
}

TEST(ReductionScale, FollowsTheKeys) {
  for (at::ScalarType wire : {at::kFloat, at::kHalf}) {
    EXPECT_EQ(scale(config(0, {.prescale_gradients = true}), wire), (ReductionScale{0.25, 1}));
    EXPECT_EQ(scale(config(0, {.gradient_predivide_factor = 2}), wire), (ReductionScale{0.5, 0.5}));
    EXPECT_EQ(scale(config(0, {.gradient_predivide_factor = 4}), wire), (ReductionScale{0.25, 1}));
    EXPECT_EQ(scale(config(1, {.gradient_allreduce_op = GradientOp::kSum}), wire), (ReductionScale{1, 1}));
  }
}

// The reduced gradient, whole, of two micro-batches in which rank r contributes (r + 1) * value each.
at::Tensor reduced(const ZeroConfig& zero, at::ScalarType dtype, double value) {
  at::Tensor whole;
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    const auto layout = partition::Layout::concatenated({{"a", 7}, {"b", 3}}, 2);
    GradientReducer reducer(layout, state_table(zero), zero, group, dtype);
    for (int micro : {1, 2}) {
      reducer.set_boundary(micro == 2);
      for (size_t p : {1, 0})
        reducer.add(p, at::full({layout.params()[p].numel}, value * (group->rank() + 1), dtype));
      reducer.finish();
    }
    at::Tensor all = at::empty({layout.padded_numel()}, dtype);
    group->all_gather_into_tensor(all, reducer.shard());
    if (group->rank() == 0) whole = all.narrow(0, 0, 10).to(at::kDouble);
  });
  return whole;
}

TEST(ReductionScale, GivesTheSameMeanUnderEveryKey) {
  for (int stage : {0, 1, 2, 3})
    for (bool scatter : {true, false})
      for (const ReductionConfig& keys : {ReductionConfig{}, ReductionConfig{.prescale_gradients = true},
                                          ReductionConfig{.gradient_predivide_factor = 4},
                                          ReductionConfig{.communication_data_type = config::DataType::kBf16},
                                          ReductionConfig{.gradient_predivide_factor = 2,
                                          .communication_data_type = config::DataType::kFp16}})
        for (at::ScalarType dtype : {at::kFloat, at::kBFloat16})
          EXPECT_TRUE(
              at::equal(reduced(config(stage, keys, scatter), dtype, 4), at::full({10}, 12.0, at::kDouble)))
              << "stage " << stage << " scatter " << scatter << " " << c10::toString(dtype);
}

TEST(ReductionScale, SumsWithoutAveragingWhenAsked) {
  for (int stage : {0, 1, 2, 3})
    EXPECT_TRUE(at::equal(reduced(config(stage, {.gradient_allreduce_op = GradientOp::kSum}), at::kFloat, 4),
                          at::full({10}, 24.0, at::kDouble)));
}

TEST(ReductionScale, RoundsWhatTravelsToTheTypeOfTheWire) {
  // 257 needs nine bits of mantissa; bf16 has eight.
  const ReductionConfig bf16{.communication_data_type = config::DataType::kBf16};
  for (int stage : {0, 1, 2, 3}) {
    EXPECT_NE(reduced(config(stage, bf16), at::kFloat, 257)[0].item<double>(), 771);
    EXPECT_EQ(reduced(config(stage), at::kFloat, 257)[0].item<double>(), 771);
  }
}

TEST(ReductionScale, LeavesRoomThatPrescalingNeeds) {
  // 30000 + 60000 overflows fp16, 15000 + 30000 does not; both accumulate two micro-batches of half as much.
  const auto after = reduced(config(0), at::kHalf, 15000),
             before = reduced(config(0, {.prescale_gradients = true}), at::kHalf, 15000);
  EXPECT_TRUE(after.isinf().all().item<bool>());
  EXPECT_TRUE(at::equal(before, at::full({10}, 45000.0, at::kDouble).to(at::kHalf).to(at::kDouble)));
}

}  // namespace
}  // namespace deepspeed::zero
