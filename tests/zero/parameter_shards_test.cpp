#include "deepspeed/zero/parameter_shards.h"

#include <gtest/gtest.h>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/ranks.h"

namespace deepspeed::zero {
namespace {

const std::vector<std::vector<int64_t>> kShapes = {{3, 5}, {7}, {4, 2}, {0}};

at::Tensor value(size_t param) {
  return at::arange(c10::multiply_integers(kShapes[param]), at::kFloat).view(kShapes[param]) +
         100.0 * static_cast<double>(param);
}

std::vector<NamedParameter> parameters() {
  std::vector<NamedParameter> list;
  for (size_t p = 0; p < kShapes.size(); ++p)
    list.push_back({"p" + std::to_string(p), value(p).requires_grad_(true)});
  return list;
}

void fill(size_t param, int64_t begin, at::Tensor slice) {
  slice.copy_(value(param).view({-1}).narrow(0, begin, slice.numel()));
}

class Worlds : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Sizes, Worlds, testing::Values(1, 2, 3, 9));

TEST_P(Worlds, GatherEveryParameterWholeAndEmptyItAgain) {
  comm::run_ranks(GetParam(), [&](comm::GroupPtr group) {
    const auto named = parameters();
    ParameterShards shards(named, fill, group, {});
    for (int round = 0; round < 2; ++round)
      for (size_t p = 0; p < named.size(); ++p) {
        shards.start(p);
        shards.finish(p);
        EXPECT_TRUE(at::equal(named[p].tensor.detach(), value(p)));
        EXPECT_TRUE(named[p].tensor.is_leaf() && named[p].tensor.requires_grad());
        shards.release(p);
        EXPECT_EQ(named[p].tensor.sizes().vec(), kShapes[p]);
        if (group->size() > 1) {
          EXPECT_EQ(named[p].tensor.storage().nbytes(), 0u);
        }
      }
    EXPECT_EQ(shards.pool().bytes_in_use(), 0);
  });
}

TEST(ParameterShards, KeepASmallPartOfEachParameterAlone) {
  comm::run_ranks(2, [](comm::GroupPtr group) {
    ParameterShards shards(parameters(), fill, group, {});
    EXPECT_EQ(shards.shard().numel(), 8 + 4 + 4);
  });
}

// Parts kept in 8 bits take half the memory of 16-bit ones, and are what they stand for ever after.
TEST(ParameterShards, ThatAreKeptCodedAreGatheredReadAndReplacedAsWhatTheyStandFor) {
  comm::run_ranks(2, [](comm::GroupPtr group) {
    ZeroConfig config;
    config.stage = 3;
    config.stage3.param_persistence_threshold = 8;  // p1 stays whole
    config.plus_plus.quantized_nontrainable_weights = true;
    const auto named = parameters();
    ParameterShards shards(named, fill, group,
                           ParameterShards::options_of(config, group, at::kFloat, /*trainable=*/false));
    EXPECT_EQ(shards.shard().numel(), 0);
    const auto whole = [&](size_t p) {
      shards.start(p, /*exact=*/true);
      shards.finish(p);
      const at::Tensor copy = named[p].tensor.detach().clone();
      shards.release(p);
      return copy;
    };
    for (size_t p = 0; p < named.size(); ++p) {
      if (named[p].tensor.numel() == 0) continue;
      const at::Tensor first = whole(p), part = shards.part(p);
      EXPECT_LE((first - value(p)).abs().max().item<double>(), 210.0 / 127 / 2 + 1e-4);
      const int64_t begin = group->rank() * part.numel();
      const int64_t count = std::min(part.numel(), first.numel() - begin);
      EXPECT_TRUE(at::equal(first.view({-1}).narrow(0, begin, count), part.narrow(0, 0, count)));
    }
    for (size_t p = 0; p < named.size(); ++p)
      if (named[p].tensor.numel() > 0) shards.set_part(p, at::full_like(shards.part(p), 3.5));
    shards.refresh();
    for (size_t p = 0; p < 3; ++p) EXPECT_TRUE(at::allclose(whole(p), at::full(kShapes[p], 3.5))) << p;
  });
}

TEST(ParameterShards, AreReleasedAndGatheredBetweenForwardAndBackward) {
  comm::run_ranks(2, [](comm::GroupPtr group) {
    const auto named = parameters();
    ParameterShards shards(named, fill, group, {});
    const at::Tensor x = at::ones({2, 3}).requires_grad_(true);
    shards.start(0);
    shards.finish(0);
    const at::Tensor y = at::mm(x, named[0].tensor);
    shards.release(0);
    shards.start(1);  // takes the memory that was there
    shards.finish(1);
    shards.start(0);
    shards.finish(0);
    y.sum().backward();
    EXPECT_TRUE(at::equal(x.grad()[0], value(0).sum(1)));
    EXPECT_TRUE(at::equal(named[0].tensor.grad(), at::full({3, 5}, 2.0)));
  });
}

// By the ops that ask for a typed pointer, as products do; TensorIterator's do not ask.
TEST(ParameterShards, SayWhenTheyAreMultipliedWhileEmpty) {
  comm::run_ranks(2, [](comm::GroupPtr group) {
    const auto named = parameters();
    ParameterShards shards(named, fill, group, {});
    EXPECT_THROW(at::mm(at::ones({2, 3}), named[0].tensor.detach()), std::exception);
  });
}

TEST(ParameterShards, FollowTheirShardsAfterAnUpdate) {
  comm::run_ranks(2, [](comm::GroupPtr group) {
    const auto named = parameters();
    // p1 has 7 elements, p2 has 8: of the two only one fits below 10 together.
    ParameterShards shards(named, fill, group,
                           {.persistence_threshold = 9, .model_persistence_threshold = 10});
    EXPECT_FALSE(shards.is_persistent(0));
    EXPECT_TRUE(shards.is_persistent(1));
    EXPECT_FALSE(shards.is_persistent(2));
    EXPECT_TRUE(at::equal(named[1].tensor.detach(), value(1)));
    shards.shard().add_(1);
    shards.refresh();
    EXPECT_TRUE(at::equal(named[1].tensor.detach(), value(1) + 1));
    shards.start(0);
    shards.finish(0);
    EXPECT_TRUE(at::equal(named[0].tensor.detach(), value(0) + 1));
    EXPECT_THROW(shards.refresh(), base::Error);  // p0 would keep its old value
  });
}

TEST(ParameterShards, TakeBackWhatWasWrittenToAWholeParameter) {
  comm::run_ranks(3, [](comm::GroupPtr group) {
    const auto named = parameters();
    ParameterShards shards(named, fill, group, {});
    std::vector<partition::Piece> changed;
    shards.set_listener([&](const partition::Piece& part) { changed.push_back(part); });
    shards.start(0);
    shards.finish(0);
    named[0].tensor.detach().fill_(7);
    shards.keep_part_of(0);
    shards.release(0);
    ASSERT_EQ(changed.size(), 1u);
    EXPECT_EQ(changed[0].begin, group->rank() * 5);
    shards.start(0);
    shards.finish(0);
    EXPECT_TRUE(named[0].tensor.detach().eq(7).all().item<bool>());
  });
}

}  // namespace
}  // namespace deepspeed::zero
