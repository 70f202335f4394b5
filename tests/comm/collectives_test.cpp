// Every collective against a local computation, for several world sizes and dtypes.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <thread>

#include "deepspeed/base/error.h"
#include "tests/comm/over_backends.h"

namespace deepspeed::comm {
namespace {

class Collectives : public OverBackends {};

using Tensors = std::vector<at::Tensor>;

// Whole numbers that every dtype here holds exactly, also after sums and products over a few ranks.
at::Tensor numbers(int rank, int64_t length, at::ScalarType dtype) {
  return at::arange(length).mul(7).add(3 * rank + 1).remainder(5).add(rank == 0 ? 1 : 0).to(dtype);
}

// Fractions, whose sums depend on order and rounding.
at::Tensor fractions(int rank, int64_t length, at::ScalarType dtype) {
  return at::arange(length, at::kDouble).mul(0.37).add(rank * 1.9).sin().mul(1 + rank).to(dtype);
}

std::string show(const at::Tensor& t) {
  std::ostringstream text;
  text << t;
  return text.str();
}

::testing::AssertionResult same(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() == b.sizes() && a.equal(b)) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << show(a) << "\nis not\n" << show(b);
}

// Worlds of one, two, an odd number of ranks, and more ranks than the shortest tensor has elements.
void on_worlds(const std::function<void(GroupPtr)>& body) {
  for (const int size : {1, 2, 3, 5}) run_here(size, body);
}

// body(group, dtype, length) on every rank of every world: no elements, one, fewer than ranks divide, many.
void for_all(const std::function<void(Group&, at::ScalarType, int64_t)>& body) {
  on_worlds([&](GroupPtr group) {
    for (const auto dtype : {at::kFloat, at::kBFloat16, at::kLong}) {
      for (const int64_t length : {0, 1, 7, 1031}) {
        SCOPED_TRACE(fmt::format("rank {} of {} dtype {} length {}", group->rank(), group->size(),
                                 at::toString(dtype), length));
        body(*group, dtype, length);
      }
    }
  });
}

Tensors contributions(int size, int64_t length, at::ScalarType dtype) {
  Tensors all;
  for (int r = 0; r < size; ++r) all.push_back(numbers(r, length, dtype));
  return all;
}

at::Tensor reduced(const Tensors& all, ReduceOp op) {
  auto result = all[0].clone();
  for (size_t i = 1; i < all.size(); ++i) {
    switch (op) {
      case ReduceOp::kProduct:
        result.mul_(all[i]);
        break;
      case ReduceOp::kMin:
        result = at::minimum(result, all[i]);
        break;
      case ReduceOp::kMax:
        result = at::maximum(result, all[i]);
        break;
      case ReduceOp::kBand:
        result.bitwise_and_(all[i]);
        break;
      case ReduceOp::kBor:
        result.bitwise_or_(all[i]);
        break;
      case ReduceOp::kBxor:
        result.bitwise_xor_(all[i]);
        break;
      default:
        result.add_(all[i]);
    }
  }
  return op == ReduceOp::kAvg ? result.div(static_cast<double>(all.size())) : result;
}

std::vector<ReduceOp> ops_of(at::ScalarType dtype) {
  std::vector<ReduceOp> ops{ReduceOp::kSum, ReduceOp::kProduct, ReduceOp::kMin, ReduceOp::kMax};
  if (at::isFloatingType(dtype)) ops.push_back(ReduceOp::kAvg);
  if (!at::isFloatingType(dtype)) ops.insert(ops.end(), {ReduceOp::kBand, ReduceOp::kBor, ReduceOp::kBxor});
  return ops;
}

TEST_P(Collectives, AllReduceCombinesAllRanks) {
  for_all([](Group& group, at::ScalarType dtype, int64_t length) {
    const auto all = contributions(group.size(), length, dtype);
    for (const auto op : ops_of(dtype)) {
      auto t = all[group.rank()].clone();
      group.all_reduce(t, op);
      EXPECT_TRUE(same(t, reduced(all, op))) << "op " << static_cast<int>(op);
    }
  });
}

TEST_P(Collectives, CoalescedAllReduceKeepsEachTensorsShape) {
  for_all([](Group& group, at::ScalarType dtype, int64_t length) {
    const auto all = contributions(group.size(), length, dtype);
    Tensors mine{all[group.rank()].clone().view({1, length}), all[group.rank()].neg()};
    group.all_reduce_coalesced(mine);
    EXPECT_TRUE(same(mine[0], reduced(all, ReduceOp::kSum).view({1, length})));
    EXPECT_TRUE(same(mine[1], reduced(all, ReduceOp::kSum).neg()));
  });
}

TEST_P(Collectives, BroadcastAndReduceReachTheRoot) {
  for_all([](Group& group, at::ScalarType dtype, int64_t length) {
    const auto all = contributions(group.size(), length, dtype);
    for (int root = 0; root < group.size(); ++root) {
      auto t = all[group.rank()].clone();
      group.broadcast(t, root);
      EXPECT_TRUE(same(t, all[root]));
      for (const auto op : ops_of(dtype)) {
        auto u = all[group.rank()].clone();
        group.reduce(u, root, op);
        if (group.rank() == root) {
          EXPECT_TRUE(same(u, reduced(all, op)));
        }
      }
    }
  });
}

TEST_P(Collectives, AllGatherOrdersByRank) {
  for_all([](Group& group, at::ScalarType dtype, int64_t length) {
    const auto all = contributions(group.size(), length, dtype);
    auto output = at::zeros({group.size() * length}, dtype);
    group.all_gather_into_tensor(output, all[group.rank()]);
    EXPECT_TRUE(same(output, at::cat(all)));
    auto in_place = at::zeros({group.size(), length}, dtype);
    in_place[group.rank()].copy_(all[group.rank()]);
    group.all_gather_into_tensor(in_place, in_place[group.rank()]);
    EXPECT_TRUE(same(in_place, at::stack(all)));
  });
}

TEST_P(Collectives, AllGatherTakesAnotherLengthFromEachRank) {
  for_all([](Group& group, at::ScalarType dtype, int64_t length) {
    Tensors outputs, expected;
    for (int r = 0; r < group.size(); ++r) {
      expected.push_back(numbers(r, r == 1 ? 0 : length * r, dtype));  // ranks 0 and 1 give nothing
      outputs.push_back(at::zeros_like(expected.back()));
    }
    group.all_gather(outputs, expected[group.rank()]);
    for (int r = 0; r < group.size(); ++r) EXPECT_TRUE(same(outputs[r], expected[r]));
  });
}

TEST_P(Collectives, ReduceScatterGivesEachRankItsSlice) {
  for_all([](Group& group, at::ScalarType dtype, int64_t length) {
    const auto all = contributions(group.size(), length * group.size(), dtype);
    for (const auto op : ops_of(dtype)) {
      const auto expected = reduced(all, op).narrow(0, group.rank() * length, length);
      auto output = at::zeros({length}, dtype);
      auto input = all[group.rank()].clone();
      group.reduce_scatter_tensor(output, input, op);
      EXPECT_TRUE(same(output, expected)) << "op " << static_cast<int>(op);
      EXPECT_TRUE(same(input, all[group.rank()]));
      auto slice = input.narrow(0, group.rank() * length, length);
      group.reduce_scatter_tensor(slice, input, op);  // into its own slice of the input
      EXPECT_TRUE(same(slice, expected)) << "in place, op " << static_cast<int>(op);
    }
  });
}

TEST_P(Collectives, UnevenReduceScatterFollowsTheSplits) {
  for_all([](Group& group, at::ScalarType dtype, int64_t length) {
    std::vector<int64_t> splits;
    for (int r = 0; r < group.size(); ++r) splits.push_back(r == 0 ? 0 : length + r);
    const int64_t total = std::accumulate(splits.begin(), splits.end(), int64_t{0});
    const int64_t begin = std::accumulate(splits.begin(), splits.begin() + group.rank(), int64_t{0});
    const auto all = contributions(group.size(), total, dtype);
    const auto expected = reduced(all, ReduceOp::kSum).narrow(0, begin, splits[group.rank()]);
    auto output = at::zeros({splits[group.rank()]}, dtype);
    group.reduce_scatter_v(output, all[group.rank()], splits);
    EXPECT_TRUE(same(output, expected));
    Tensors parts;
    for (const auto& part : all[group.rank()].split_with_sizes(splits)) parts.push_back(part);
    output.zero_();
    group.reduce_scatter(output, parts);
    EXPECT_TRUE(same(output, expected));
  });
}

TEST_P(Collectives, CoalescedGatherAndScatterEqualSingleOnes) {
  for_all([](Group& group, at::ScalarType dtype, int64_t length) {
    const auto all = contributions(group.size(), length * group.size(), dtype);
    Tensors slices{at::zeros({length}, dtype), at::zeros({length}, dtype)};
    group.reduce_scatter_coalesced(slices, {all[group.rank()], all[group.rank()].neg()});
    const auto sum = reduced(all, ReduceOp::kSum);
    EXPECT_TRUE(same(slices[0], sum.narrow(0, group.rank() * length, length)));
    Tensors whole{at::zeros_like(sum), at::zeros_like(sum)};
    group.all_gather_coalesced(whole, slices);
    EXPECT_TRUE(same(whole[0], sum));
    EXPECT_TRUE(same(whole[1], sum.neg()));
  });
}

// What rank `from` sends rank `to`: rows of 3 columns, none on the diagonal's left neighbour.
at::Tensor parcel(int from, int to, int64_t length, at::ScalarType dtype) {
  const int64_t rows = to + 1 == from ? 0 : length + from + 2 * to;
  return numbers(from * 10 + to, rows * 3, dtype).view({rows, 3});
}

TEST_P(Collectives, AllToAllDeliversEveryParcel) {
  for_all([](Group& group, at::ScalarType dtype, int64_t length) {
    Tensors sent, expected, received;
    std::vector<int64_t> input_splits, output_splits;
    for (int peer = 0; peer < group.size(); ++peer) {
      sent.push_back(parcel(group.rank(), peer, length, dtype));
      expected.push_back(parcel(peer, group.rank(), length, dtype));
      received.push_back(at::zeros_like(expected.back()));
      input_splits.push_back(sent.back().size(0));
      output_splits.push_back(expected.back().size(0));
    }
    auto output = at::zeros_like(at::cat(expected));
    group.all_to_all_single(output, at::cat(sent), output_splits, input_splits);
    EXPECT_TRUE(same(output, at::cat(expected)));
    group.all_to_all(received, sent);
    for (int peer = 0; peer < group.size(); ++peer) EXPECT_TRUE(same(received[peer], expected[peer]));
    auto even = at::zeros({group.size() * length}, dtype);
    group.all_to_all_single(even, numbers(0, length, dtype).repeat({group.size()}).mul(group.rank() + 1));
    for (int r = 0; r < group.size(); ++r) {
      EXPECT_TRUE(same(even.narrow(0, r * length, length), numbers(0, length, dtype).mul(r + 1)));
    }
  });
}

TEST_P(Collectives, GatherAndScatterAreInverse) {
  for_all([](Group& group, at::ScalarType dtype, int64_t length) {
    const int root = group.size() - 1;
    const auto mine = numbers(group.rank(), length + group.rank(), dtype);
    Tensors collected;
    if (group.rank() == root) {
      for (int r = 0; r < group.size(); ++r) collected.push_back(at::zeros({length + r}, dtype));
    }
    group.gather(collected, mine, root);
    for (size_t r = 0; r < collected.size(); ++r) {
      EXPECT_TRUE(same(collected[r], numbers(static_cast<int>(r), length + static_cast<int64_t>(r), dtype)));
    }
    auto back = at::zeros_like(mine);
    group.scatter(back, collected, root);
    EXPECT_TRUE(same(back, mine));
  });
}

TEST_P(Collectives, AsynchronousWorkIsWaitedForInAnyOrder) {
  on_worlds([](GroupPtr group) {
    const int n = 20;
    Tensors sums;
    std::vector<WorkPtr> works;
    std::vector<at::Tensor> slices;
    for (int i = 0; i < n; ++i) {
      sums.push_back(at::full({1000}, static_cast<double>(i)));
      works.push_back(group->all_reduce(sums.back(), ReduceOp::kSum, true));
      slices.push_back(at::zeros({100}));
      // The temporary input lives only as long as the Work keeps it.
      works.push_back(group->reduce_scatter_tensor(slices.back(), at::full({100 * group->size()}, 2.0 * i),
                                                   ReduceOp::kSum, true));
    }
    for (auto work = works.rbegin(); work != works.rend(); ++work) (*work)->wait();
    works[0]->wait();
    for (int i = 0; i < n; ++i) {
      EXPECT_TRUE(same(sums[i], at::full({1000}, static_cast<double>(i) * group->size())));
      EXPECT_TRUE(same(slices[i], at::full({100}, 2.0 * i * group->size())));
    }
  });
}

TEST_P(Collectives, TheTransportWorksWhileTheCallerDoesSomethingElse) {
  on_worlds([](GroupPtr group) {
    auto t = at::ones({100000});
    auto gathered = at::zeros({group->size() * 1000});
    std::vector<WorkPtr> works{group->all_reduce(t, ReduceOp::kSum, true),
                               group->all_gather_into_tensor(
                                   gathered, at::full({1000}, static_cast<double>(group->rank() + 1)), true)};
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    for (auto& work : works) {
      while (!work->is_completed() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
      EXPECT_TRUE(work->is_completed());
    }
    // Nobody has waited, and yet the data are there.
    EXPECT_TRUE(same(t, at::full({100000}, static_cast<float>(group->size()))));
    EXPECT_EQ(gathered[-1].item<float>(), static_cast<float>(group->size()));
    for (auto& work : works) work->wait();
  });
}

TEST_P(Collectives, CoalescedScopeCompletesEverythingAtItsEnd) {
  on_worlds([](GroupPtr group) {
    auto a = at::ones({10}), b = at::ones({5});
    auto gathered = at::zeros({group->size() * 5});
    group->start_coalescing();
    group->all_reduce(a);
    group->all_gather_coalesced({gathered}, {b});
    auto work = group->end_coalescing();
    work->wait();
    EXPECT_TRUE(same(a, at::full({10}, static_cast<float>(group->size()))));
    EXPECT_TRUE(same(gathered, at::ones({group->size() * 5})));
    EXPECT_THROW(group->end_coalescing(), base::Error);
  });
}

// More ranks are added in another order by Gloo's ring.
TEST_P(Collectives, ReduceScatterAndAllReduceGiveTheSameBitsOnTwoRanks) {
  run_here(2, [](GroupPtr group) {
    for (const auto dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
      for (const auto op : {ReduceOp::kSum, ReduceOp::kAvg}) {
        const int64_t length = 100003;
        auto whole = fractions(group->rank(), length, dtype);
        const std::vector<int64_t> splits{60001, length - 60001};
        auto slice = at::zeros({splits[group->rank()]}, dtype);
        group->reduce_scatter_v(slice, whole, splits, op);
        group->all_reduce(whole, op);
        EXPECT_TRUE(whole.narrow(0, group->rank() * splits[0], splits[group->rank()]).equal(slice))
            << at::toString(dtype) << " op " << static_cast<int>(op);
      }
    }
  });
}

TEST_P(Collectives, SixteenBitReduceScatterRoundsOnce) {
  on_worlds([](GroupPtr group) {
    const int64_t length = 5000;
    auto exact = at::zeros({length}, at::kFloat);
    for (int r = 0; r < group->size(); ++r) {
      exact += fractions(r, length * group->size(), at::kBFloat16).narrow(0, group->rank() * length, length);
    }
    auto slice = at::zeros({length}, at::kBFloat16);
    group->reduce_scatter_tensor(slice, fractions(group->rank(), length * group->size(), at::kBFloat16));
    EXPECT_TRUE(slice.equal(exact.to(at::kBFloat16)));
  });
}

TEST_P(Collectives, EveryRankHoldsTheSameSum) {
  on_worlds([](GroupPtr group) {
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      auto sum = fractions(group->rank(), 4099, dtype);
      group->all_reduce(sum, ReduceOp::kAvg);
      auto all = at::zeros({group->size(), 4099}, dtype);
      group->all_gather_into_tensor(all, sum);
      for (int r = 0; r < group->size(); ++r) EXPECT_TRUE(all[r].equal(sum));
    }
  });
}

TEST_P(Collectives, MovementWorksForDtypesThatGlooDoesNotKnow) {
  on_worlds([](GroupPtr group) {
    auto flags = at::zeros({3}, at::kBool);
    if (group->rank() == 0) flags.fill_(true);
    group->broadcast(flags, 0);
    EXPECT_TRUE(flags.all().item<bool>());
    flags.fill_(group->rank() == 0);
    group->all_reduce(flags, ReduceOp::kMax);
    EXPECT_TRUE(flags.all().item<bool>());
    auto shorts = at::zeros({group->size()}, at::kShort);
    group->all_gather_into_tensor(shorts, at::full({}, group->rank(), at::kShort));
    EXPECT_TRUE(same(shorts, at::arange(group->size(), at::kShort)));
  });
}

TEST_P(Collectives, LeavesThatRequireGradientsMayBeBroadcast) {
  on_worlds([](GroupPtr group) {
    auto leaf = at::full({4}, static_cast<double>(group->rank())).requires_grad_();
    group->broadcast(leaf, group->size() - 1);
    EXPECT_TRUE(same(leaf.detach(), at::full({4}, static_cast<double>(group->size() - 1))));
    EXPECT_TRUE(leaf.is_leaf());
  });
}

INSTANTIATE_TEST_SUITE_P(, Collectives, kCpuBackends, backend_name);

}  // namespace
}  // namespace deepspeed::comm
