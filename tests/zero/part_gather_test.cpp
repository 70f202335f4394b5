#include "deepspeed/zero/part_gather.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "deepspeed/comm/ranks.h"
#include "deepspeed/comm/traffic.h"
#include "deepspeed/mesh/sub_groups.h"
#include "deepspeed/zero/coded_tensor.h"

namespace deepspeed::zero {
namespace {

constexpr int64_t kPart = 1003;

at::Tensor part_of(int rank, at::ScalarType type = at::kFloat) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<uint64_t>(rank + 1));
  return at::randn({kPart}, generator, at::kFloat).to(type);
}

at::Tensor exact_whole(int world, at::ScalarType type = at::kFloat) {
  std::vector<at::Tensor> parts;
  for (int r = 0; r < world; ++r) parts.push_back(part_of(r, type));
  return at::cat(parts);
}

at::Tensor gathered(PartGather& gather, int world, const at::Tensor& part) {
  at::Tensor whole = at::full({world * kPart}, 7, part.options());
  gather.start(0, whole, part)->wait();
  return whole;
}

bool same_everywhere(const at::Tensor& values, comm::Group& group) {
  at::Tensor first = values.clone();
  group.broadcast(first, 0);
  at::Tensor same = at::ones({1}) * at::equal(first, values);
  group.all_reduce(same, comm::ReduceOp::kMin);
  return same.item<float>() == 1;
}

class GatherWorlds : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Sizes, GatherWorlds, testing::Values(2, 3, 4));

TEST_P(GatherWorlds, GatherInEightBitsWhatIsTheSameOnEveryRankTheOwnerIncluded) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf})
    comm::run_ranks(GetParam(), [&](comm::GroupPtr group) {
      PartGather gather(group, 1, {.code = kWeightCode, .secondary = nullptr});
      const at::Tensor whole = gathered(gather, group->size(), part_of(group->rank(), type));
      const at::Tensor exact = exact_whole(group->size(), type);
      EXPECT_FALSE(at::equal(whole, exact));
      // Half a step of blocks that reach to 4.5, and bf16's own rounding.
      EXPECT_LE((whole - exact).to(at::kFloat).abs().max().item<double>(), 4.5 / 127 / 2 + 4.5 / 256);
      EXPECT_TRUE(same_everywhere(whole, *group));
    });
}

TEST(PartGather, CodedPartsTakeTheBytesOfTheFormula) {
  comm::run_ranks(3, [](comm::GroupPtr group) {
    comm::Traffic traffic;
    group->set_observer(traffic.observer());
    PartGather gather(group, 1, {.code = kWeightCode, .secondary = nullptr});
    gathered(gather, 3, part_of(group->rank(), at::kBFloat16));
    group->set_observer(nullptr);
    EXPECT_EQ(traffic.sent(), 2 * (1008 + 4));  // to two ranks: 1003 codes in groups of 16, one scale
  });
}

// After the first time a gather is among neighbours, and gives the same bits.
TEST(PartGather, ASecondCopyServesLaterGathersWithinItsGroupAlone) {
  for (const bool coded : {false, true})
    comm::run_ranks(4, [&](comm::GroupPtr group) {
      const auto pair = mesh::make_sub_groups(group, 2, "pair").within;
      PartGather::Options options{.code = {}, .secondary = pair};
      if (coded) options.code = kWeightCode;
      comm::Traffic traffic;
      group->set_observer(traffic.observer());
      pair->set_observer(traffic.observer());
      PartGather gather(group, 1, options);
      at::Tensor part = part_of(group->rank());
      const int neighbour = group->rank() ^ 1;
      const auto afar = [&](const comm::Traffic::Flow& flow) { return flow.to != neighbour; };
      const int64_t message = coded ? ops::coded_bytes(kWeightCode, kPart) : 4 * kPart;

      const at::Tensor first = gathered(gather, 4, part);
      if (!coded) {
        EXPECT_TRUE(at::equal(first, exact_whole(4)));
      }
      EXPECT_EQ(traffic.sent(), 3 * message);
      EXPECT_EQ(gather.bytes_kept(), 2 * message);
      traffic.clear();
      for (int again = 0; again < 2; ++again) EXPECT_TRUE(at::equal(gathered(gather, 4, part), first));
      EXPECT_EQ(traffic.sent(afar), 0);
      EXPECT_EQ(traffic.sent(), 2 * 2 * message);

      part.add_(1);
      traffic.clear();
      gather.forget(0);
      const at::Tensor changed = gathered(gather, 4, part);
      EXPECT_EQ(traffic.sent(afar), 2 * message);
      EXPECT_NEAR((changed - first).mean().item<double>(), 1, 1e-2);
      EXPECT_TRUE(at::equal(gathered(gather, 4, part), changed));
      group->set_observer(nullptr);
      pair->set_observer(nullptr);
    });
}

TEST(PartGather, ExactlyIsNeitherCodedNorFromASecondCopy) {
  comm::run_ranks(4, [](comm::GroupPtr group) {
    const auto pair = mesh::make_sub_groups(group, 2, "pair").within;
    PartGather gather(group, 1, {.code = kWeightCode, .secondary = pair});
    const at::Tensor part = part_of(group->rank());
    at::Tensor whole = at::empty({4 * kPart});
    for (int round = 0; round < 2; ++round) {
      gather.start_exact(whole, part)->wait();
      EXPECT_TRUE(at::equal(whole, exact_whole(4)));
      gathered(gather, 4, part);
    }
  });
}

// Between hosts each part travels once, to its like there; the rest is passed on within the host.
TEST(PartGather, HostByHostGivesTheSameWholeAndCrossesHostsOncePerPart) {
  for (const int host : {2, 3})
    for (const bool coded : {false, true})
      comm::run_ranks(6, [&](comm::GroupPtr group) {
        PartGather::Options direct, by_hosts;
        if (coded) direct.code = by_hosts.code = kWeightCode;
        comm::Traffic traffic;
        group->set_observer(traffic.observer());
        by_hosts.hosts = mesh::make_sub_groups(group, host, "host");
        PartGather one(group, 1, direct), two(group, 1, by_hosts);
        const at::Tensor part = part_of(group->rank(), at::kBFloat16);
        const at::Tensor expected = gathered(one, 6, part);
        traffic.clear();
        EXPECT_TRUE(at::equal(gathered(two, 6, part), expected));
        const int64_t message = coded ? ops::coded_bytes(kWeightCode, kPart) : 2 * kPart;
        EXPECT_EQ(traffic.sent([&](const comm::Traffic::Flow& flow) {
          return flow.to / host != group->rank() / host;
        }),
                  (6 / host - 1) * message);
        at::Tensor whole = at::empty({6 * kPart}, at::kBFloat16);
        two.start_exact(whole, part)->wait();
        EXPECT_TRUE(at::equal(whole, exact_whole(6, at::kBFloat16)));
        for (const auto& g : {group, by_hosts.hosts->within, by_hosts.hosts->across})
          g->set_observer(nullptr);
      });
}

}  // namespace
}  // namespace deepspeed::zero
