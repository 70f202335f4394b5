#include "deepspeed/zero/group_states.h"

#include <gtest/gtest.h>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/ranks.h"

namespace deepspeed::zero {
namespace {

std::vector<NamedParameter> parameters(at::ScalarType dtype, double offset = 0) {
  auto make = [&](std::string name, at::IntArrayRef shape, double start) {
    at::Tensor t =
        (at::arange(c10::multiply_integers(shape), at::kFloat) / 8 + start + offset).view(shape).to(dtype);
    return NamedParameter{std::move(name), t.requires_grad_(true)};
  };
  return {make("a", {3, 5}, 1), make("b", {1}, 2), make("c", {4, 2}, 3)};
}

ZeroConfig config(int stage, int64_t gather = 500'000'000, bool partitions = true) {
  ZeroConfig c;
  c.stage = stage;
  c.allgather_bucket_size = gather;
  c.allgather_partitions = partitions;
  return c;
}

TEST(GroupStates, KeepsIdentityAndValuesOfTheParametersItFlattens) {
  auto named = parameters(at::kFloat);
  std::vector<at::Tensor> handles, values;
  for (auto& p : named) {
    handles.push_back(p.tensor);
    values.push_back(p.tensor.detach().clone());
  }
  GroupStates states(named, config(0), comm::single_group(), {});
  for (size_t i = 0; i < handles.size(); ++i) {
    EXPECT_TRUE(handles[i].is_same(states.parameters()[i].tensor));
    EXPECT_TRUE(at::equal(handles[i], values[i]));
    EXPECT_TRUE(handles[i].is_leaf() && handles[i].requires_grad());
  }
}

// Adds 1 to every master element through the pieces, publishes, and looks at the parameters.
void expect_update_reaches_everyone(int world, const ZeroConfig& zero, at::ScalarType dtype) {
  comm::run_ranks(world, [&](comm::GroupPtr group) {
    auto named = parameters(dtype);
    std::vector<at::Tensor> before;
    for (auto& p : named) before.push_back(p.tensor.detach().clone());
    GroupStates states(named, zero, group, {.gradients = dtype});
    for (auto& piece : states.pieces()) {
      EXPECT_EQ(piece.param.scalar_type(), at::kFloat);
      piece.param.add_(1);
      if (piece.low_precision_copy.defined()) piece.low_precision_copy.copy_(piece.param);
    }
    states.publish();
    for (size_t i = 0; i < named.size(); ++i)
      EXPECT_TRUE(at::equal(named[i].tensor, before[i] + 1)) << named[i].name;
  });
}

TEST(GroupStates, PublishesUpdatedPiecesToEveryRank) {
  for (int world : {1, 2, 3, 7})
    for (int stage : {0, 1, 2}) expect_update_reaches_everyone(world, config(stage), at::kFloat);
}

TEST(GroupStates, PublishesSixteenBitParametersFromFp32Masters) {
  for (int stage : {0, 1, 2}) expect_update_reaches_everyone(2, config(stage), at::kBFloat16);
}

TEST(GroupStates, HasNoMastersWhereTheyWouldBeTheParameters) {
  GroupStates states(parameters(at::kBFloat16), config(1), comm::single_group(),
                     {.gradients = at::kBFloat16, .masters = at::kBFloat16});
  for (const auto& piece : states.pieces()) {
    EXPECT_FALSE(piece.low_precision_copy.defined());
    piece.param.fill_(3);
  }
  for (const auto& p : states.parameters()) EXPECT_TRUE(p.tensor.eq(3).all().item<bool>()) << p.name;
}

TEST(GroupStates, PublishesInSmallGathersAndByBroadcastAlike) {
  expect_update_reaches_everyone(3, config(1, /*gather=*/6), at::kFloat);
  expect_update_reaches_everyone(3, config(2, /*gather=*/0), at::kFloat);
  expect_update_reaches_everyone(3, config(1, 500'000'000, /*partitions=*/false), at::kFloat);
}

TEST(GroupStates, OwnsEachElementOnceOverAllRanksWhenSharded) {
  std::vector<int64_t> counts(3, 0);
  std::mutex mutex;
  comm::run_ranks(3, [&](comm::GroupPtr group) {
    GroupStates states(parameters(at::kFloat), config(1), group, {});
    std::lock_guard lock(mutex);
    for (const auto& owned : states.owned()) counts[owned.param] += owned.count;
  });
  EXPECT_EQ(counts, (std::vector<int64_t>{15, 1, 8}));
}

TEST(GroupStates, ShardsParametersAtStage3AndUpdatesTheShards) {
  for (const auto dtype : {at::kFloat, at::kBFloat16})
    comm::run_ranks(3, [&](comm::GroupPtr group) {
      auto named = parameters(dtype);
      std::vector<at::Tensor> before;
      for (auto& p : named) before.push_back(p.tensor.detach().clone());
      ZeroConfig zero = config(3);
      zero.stage3.param_persistence_threshold = 2;  // b alone
      GroupStates states(named, zero, group, {.gradients = dtype});
      for (auto& piece : states.pieces()) {
        EXPECT_EQ(piece.param.scalar_type(), at::kFloat);
        EXPECT_EQ(piece.grad.numel(), piece.param.numel());
        piece.param.add_(1);
        if (piece.low_precision_copy.defined()) piece.low_precision_copy.copy_(piece.param);
      }
      states.publish();
      EXPECT_TRUE(at::equal(named[1].tensor, before[1] + 1));
      for (size_t i : {0, 2}) {
        EXPECT_EQ(named[i].tensor.storage().nbytes(), 0u);
        states.shards()->start(i);
        states.shards()->finish(i);
        EXPECT_TRUE(at::equal(named[i].tensor, before[i] + 1)) << named[i].name;
      }
    });
}

TEST(GroupStates, RefusesMixedTypesNamingTheParameter) {
  for (int stage : {0, 3}) {
    auto named = parameters(at::kFloat);
    named[1].tensor = at::ones({1}, at::kBFloat16).requires_grad_(true);
    try {
      GroupStates states(named, config(stage), comm::single_group(), {});
      FAIL();
    } catch (const base::Error& error) {
      EXPECT_NE(std::string(error.what()).find("'b'"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace deepspeed::zero
