#include "deepspeed/zero/quantized_reduction.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/ranks.h"
#include "deepspeed/comm/traffic.h"
#include "deepspeed/zero/coded_tensor.h"
#include "deepspeed/zero/gradient_reducer.h"
#include "deepspeed/zero/parameter_shards.h"

namespace deepspeed::zero {
namespace {

using partition::Layout;

const std::vector<partition::ParamSize> kParams = {{"a", 700}, {"b", 1}, {"c", 12345}, {"d", 0}, {"e", 3000}};

ZeroConfig config(bool quantized = true) {
  ZeroConfig c;
  c.stage = 3;
  c.reduce_bucket_size = 5000;
  c.plus_plus.quantized_gradients = quantized;
  return c;
}

// Values of very different sizes in neighbouring parameters.
at::Tensor gradient(size_t param, int rank) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(10 * param + static_cast<uint64_t>(rank) + 1);
  const double size = param == 2 ? 1e-3 : 1e2;
  return (at::randn({kParams[param].numel}, generator, at::kFloat) + 0.5) * size;
}

struct Job {
  int ranks, ranks_per_host;
};

// hpZ's partition stands for hosts: ranks that are threads have no others.
ZeroGroups groups_of(const comm::GroupPtr& world, int ranks_per_host) {
  ZeroConfig c = config();
  c.plus_plus.hpz_partition_size = ranks_per_host;
  return make_zero_groups(c, world);
}

at::Tensor reduced(const ZeroConfig& config, const ZeroGroups& groups, at::ScalarType type = at::kFloat) {
  const Layout layout = Layout::per_parameter(kParams, groups.shard->size());
  GradientReducer reducer(layout, state_table(config), config, groups, type);
  for (size_t p = kParams.size(); p-- > 0;) reducer.add(p, gradient(p, groups.all->rank()).to(type));
  reducer.finish();
  return reducer.shard().to(at::kFloat);
}

class Jobs : public testing::TestWithParam<Job> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Jobs,
                         testing::Values(Job{2, 1}, Job{3, 1}, Job{4, 2}, Job{4, 4}, Job{6, 2}, Job{6, 3}));

TEST_P(Jobs, AverageGradientsInFourBitsWithinTheBoundOfEachLevel) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
    comm::run_ranks(GetParam().ranks, [&](comm::GroupPtr world) {
      const ZeroGroups groups = groups_of(world, GetParam().ranks_per_host);
      EXPECT_EQ(groups.hosts.has_value(),
                GetParam().ranks_per_host > 1 && GetParam().ranks_per_host < GetParam().ranks);
      const at::Tensor exact = reduced(config(false), world), coded = reduced(config(), groups, type);
      const Layout layout = Layout::per_parameter(kParams, world->size());
      for (const auto& piece : layout.pieces(world->rank())) {
        double largest = 0;  // of any rank's gradient
        for (int r = 0; r < world->size(); ++r)
          largest = std::max(largest, gradient(piece.param, r).abs().max().item<double>());
        const double
            step = largest / 7,
            error = (coded - exact).narrow(0, piece.shard_offset, piece.count).abs().max().item<double>();
        // Half a step for each level, and the first level's own error widens the second's blocks.
        EXPECT_LE(error, step * (groups.hosts ? 1.1 : 0.51)) << "parameter " << piece.param;
        EXPECT_TRUE(error > 0 || piece.count == 1);
      }
    });
}

TEST(QuantizedReduction, ParametersOfOneBucketHaveBlocksOfTheirOwn) {
  comm::run_ranks(2, [](comm::GroupPtr world) {
    ZeroConfig c = config();
    c.reduce_bucket_size = 100000;
    const at::Tensor exact = reduced(config(false), world), coded = reduced(c, world);
    const Layout layout = Layout::per_parameter(kParams, 2);
    const at::Tensor small = (coded - exact).narrow(0, layout.part_offset(2), layout.part_numel(2));
    EXPECT_LT(small.abs().max().item<double>(), 1e-3);  // its neighbours' steps are 100,000 times as large
  });
}

TEST(QuantizedReduction, SendsTheBytesOfTheFormulaScalesIncluded) {
  comm::run_ranks(4, [](comm::GroupPtr world) {
    const ZeroGroups groups = groups_of(world, 2);
    comm::Traffic traffic;
    for (const auto& group : {groups.all, groups.hosts->within, groups.hosts->across})
      group->set_observer(traffic.observer());
    reduced(config(), groups);
    int64_t slice = 0;
    for (const auto& p : kParams) slice += ops::coded_bytes(gradient_code(4), (p.numel + 3) / 4);
    const int neighbour = world->rank() ^ 1, like = (world->rank() + 2) % 4;
    const auto sent_to = [&](int rank) {
      return traffic.sent([&](const comm::Traffic::Flow& flow) { return flow.to == rank; });
    };
    EXPECT_EQ(sent_to(neighbour), 2 * slice);  // its own and its like's on the other host
    EXPECT_EQ(sent_to(like), slice);
    EXPECT_EQ(sent_to(like ^ 1), 0);
    for (const auto& group : {groups.all, groups.hosts->within, groups.hosts->across})
      group->set_observer(nullptr);
  });
}

TEST(QuantizedReduction, AnOverflowArrivesAsOneAtBothLevels) {
  for (const int host : {1, 2})
    comm::run_ranks(4, [&](comm::GroupPtr world) {
      const ZeroGroups groups = groups_of(world, host);
      const Layout layout = Layout::per_parameter({{"a", 4096}}, 4);
      GradientReducer reducer(layout, state_table(config()), config(), groups, at::kFloat);
      at::Tensor gradient = at::ones({4096});
      if (world->rank() == 3) gradient[1500] = std::numeric_limits<float>::infinity();
      reducer.add(0, gradient);
      reducer.finish();
      EXPECT_EQ(reducer.shard().isfinite().all().item<bool>(), world->rank() != 1);
    });
}

// A gradient that never changes: with its error fed back, what arrives is right on average.
TEST(ErrorFeedback, MakesTheMeanOfManyReductionsRight) {
  const auto mean_error = [](std::optional<LocoConfig> loco, int host) {
    double worst = 0;
    comm::run_ranks(4, [&](comm::GroupPtr world) {
      ZeroConfig c = config();
      c.plus_plus.loco = loco;
      const ZeroGroups groups = groups_of(world, host);
      const Layout layout = Layout::per_parameter(kParams, 4);
      GradientReducer reducer(layout, state_table(c), c, groups, at::kFloat);
      at::Tensor sum = at::zeros({layout.shard_numel()});
      for (int round = 0; round < 50; ++round) {
        for (size_t p = kParams.size(); p-- > 0;) reducer.add(p, gradient(p, world->rank()));
        reducer.finish();
        sum += reducer.shard();
        reducer.clear();
      }
      const at::Tensor exact = reduced(config(false), world);
      const double error = (sum / 50 - exact).abs().max().item<double>();
      if (world->rank() == 0) worst = error;
    });
    return worst;
  };
  for (const int host : {1, 2}) {
    const double without = mean_error(std::nullopt, host);
    EXPECT_LT(mean_error(LocoConfig{.err_beta = 0, .reset_after = 1000}, host), without / 5) << host;
    EXPECT_GT(mean_error(LocoConfig{.err_beta = 0, .reset_after = 1}, host), without / 2)
        << "an error that is dropped at once helps nobody";
  }
}

TEST(ErrorFeedback, KeepsAMovingAverageAndForgetsItAfterResetAndOverflow) {
  ErrorFeedback feedback({.err_beta = 0.5, .reset_after = 3});
  const at::Tensor zero = at::zeros({100}), one = at::ones({100});
  const auto error = [&] { return feedback.corrected(0, zero)[7].item<double>(); };
  EXPECT_EQ(error(), 0);
  feedback.learn(0, one, zero);
  EXPECT_NEAR(error(), 0.5, 1e-6);
  feedback.learn(0, one, zero);
  EXPECT_NEAR(error(), 0.75, 1e-6);
  EXPECT_EQ(feedback.corrected(1, one)[7].item<double>(), 1);  // another bucket
  feedback.learn(0, one, zero);
  EXPECT_EQ(error(), 0);
  at::Tensor bad = at::ones({100});
  bad[3] = std::numeric_limits<float>::infinity();
  feedback.learn(0, bad, zero);
  EXPECT_NEAR(error(), 0.5, 1e-6);
  EXPECT_EQ(feedback.corrected(0, zero)[3].item<double>(), 0);
}

TEST(ZeroGroups, AreWhatTheConfigurationAsksFor) {
  comm::run_ranks(4, [](comm::GroupPtr world) {
    const ZeroGroups plain = make_zero_groups({}, world);
    EXPECT_EQ(plain.shard, world);
    EXPECT_TRUE(!plain.replicas && !plain.secondary && !plain.hosts && plain.saves());

    ZeroConfig mics;
    mics.plus_plus.mics_shard_size = 2;
    const ZeroGroups cut = make_zero_groups(mics, world);
    EXPECT_EQ(cut.shard->size(), 2);
    EXPECT_EQ(cut.shard->rank(), world->rank() % 2);
    EXPECT_EQ(cut.replicas->size(), 2);
    EXPECT_EQ(cut.saves(), world->rank() < 2);

    ZeroConfig hpz;
    hpz.plus_plus.hpz_partition_size = 100;  // as DeepSpeed has it: all ranks
    EXPECT_FALSE(make_zero_groups(hpz, world).secondary);
    hpz.plus_plus.hpz_partition_size = 3;
    EXPECT_THROW(make_zero_groups(hpz, world), base::Error);
    mics.plus_plus.mics_shard_size = 8;
    EXPECT_THROW(make_zero_groups(mics, world), base::Error);
  });
}

// ZeRO-3 moves every parameter twice and every gradient once, ZeRO++ the parameters once in 8 bits and the
// gradients in 4: per rank and link between hosts.
TEST(ZeroPlusPlus, CutsWhatLeavesTheHostToAQuarterOfStageThree) {
  const int64_t kNumel = 1 << 20;
  const auto leaving = [&](bool plus) {
    int64_t bytes = 0;
    comm::run_ranks(4, [&](comm::GroupPtr world) {
      ZeroConfig c;
      c.stage = 3;
      c.plus_plus.quantized_gradients = c.plus_plus.quantized_weights = plus;
      c.plus_plus.hpz_partition_size = plus ? 2 : 1;
      comm::Traffic traffic;
      world->set_observer(traffic.observer());
      const ZeroGroups groups = make_zero_groups(c, world);
      const auto options = ParameterShards::options_of(c, groups, at::kBFloat16);
      auto exact = options;
      exact.persistence_threshold = 0;
      ParameterShards shards(
          {{"w", at::ones({kNumel}, at::kBFloat16)}},
          [](size_t, int64_t, at::Tensor slice) { slice.fill_(1); }, world, exact);
      traffic.clear();
      for (int pass = 0; pass < 2; ++pass) {  // forward, backward
        shards.start(0);
        shards.finish(0);
        shards.release(0);
      }
      GradientReducer reducer(shards.layout(), state_table(c), c, groups, at::kBFloat16);
      reducer.add(0, at::ones({kNumel}, at::kBFloat16));
      reducer.finish();
      const int64_t sent =
          traffic.sent([&](const comm::Traffic::Flow& flow) { return flow.to / 2 != world->rank() / 2; });
      world->set_observer(nullptr);
      if (groups.secondary) groups.secondary->set_observer(nullptr);
      if (groups.hosts)
        for (const auto& group : {groups.hosts->within, groups.hosts->across}) group->set_observer(nullptr);
      if (world->rank() == 0) bytes = sent;
    });
    return bytes;
  };
  const int64_t part = kNumel / 4, plain = leaving(false), plus = leaving(true);
  EXPECT_EQ(plain, 3 * 2 * part * 2);  // three times, to two ranks, two bytes
  EXPECT_EQ(plus, 2 * (part + part / 2048 * 4) + part / 2 + part / 512 * 4);
  EXPECT_GE(static_cast<double>(plain) / static_cast<double>(plus), 4);
}

}  // namespace
}  // namespace deepspeed::zero
