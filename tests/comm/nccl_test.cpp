// NCCL with one rank, of which it allows one a GPU: its own operations, our constructions over them, and a
// group whose tensors lie on the GPU or on the CPU.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/backends.h"
#include "deepspeed/comm/constructions.h"
#include "tests/support/device.h"

namespace deepspeed::comm {
namespace {

const at::Device kGpu(at::kCUDA, 0);

at::Tensor numbers(int64_t n, at::ScalarType dtype = at::kFloat, at::Device device = kGpu) {
  return at::arange(1, n + 1, at::kFloat).to(dtype).to(device);
}

struct OneRank {
  ~OneRank() { backend->shutdown(); }
  BackendPtr backend =
      connect_nccl(0)(c10::make_intrusive<c10d::HashStore>(), 0, 1, std::chrono::seconds(60));
};

void finish(const RawWork& work) { ASSERT_TRUE(work->wait()); }

TEST(Nccl, ItsOwnOperationsLeaveOneRanksNumbersAsTheyAre) {
  DS_NEEDS_GPU();
  const OneRank nccl;
  const BackendPtr& backend = nccl.backend;
  EXPECT_EQ(backend->getBackendName(), "nccl");
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kHalf, at::kLong}) {
    const at::Tensor expected = numbers(1031, dtype);
    Tensors t{expected.clone()};
    finish(backend->allreduce(t));
    finish(backend->broadcast(t));
    finish(backend->reduce(t));
    EXPECT_TRUE(t[0].equal(expected)) << at::toString(dtype);
    at::Tensor gathered = at::zeros_like(expected), scattered = at::zeros_like(expected);
    finish(backend->_allgather_base(gathered, t[0]));
    finish(backend->_reduce_scatter_base(scattered, t[0]));
    EXPECT_TRUE(gathered.equal(expected) && scattered.equal(expected)) << at::toString(dtype);
  }
  finish(backend->barrier());
}

TEST(Nccl, OurConstructionsRunOverIt) {
  DS_NEEDS_GPU();
  const OneRank nccl;
  GroupState state;
  state.device = kGpu;
  state.backend = nccl.backend;
  state.policy = policy_for("nccl");
  const at::Tensor in = numbers(77);
  at::Tensor gathered = at::zeros_like(in), summed = at::zeros_like(in), exchanged = at::zeros_like(in);
  for (const Started& started :
       {gather_all(state, {gathered}, in), reduce_and_scatter(state, summed, {in}, ReduceOp::kAvg),
        exchange_all(state, {exchanged}, {in})}) {
    ASSERT_EQ(started.works.size(), 1u);
    finish(started.works[0]);
  }
  EXPECT_TRUE(gathered.equal(in) && summed.equal(in) && exchanged.equal(in));
  state.backend.reset();
}

// Every collective of a group on one kind of tensors.
void run_every_collective(Group& group, at::Device device) {
  const at::Tensor in = numbers(24, at::kFloat, device);
  const auto out = [&] { return at::zeros_like(in); };
  const auto expect = [&](const at::Tensor& result, const char* what) {
    EXPECT_TRUE(result.equal(in)) << what;
  };
  at::Tensor t = in.clone();
  for (const auto op : {ReduceOp::kSum, ReduceOp::kAvg, ReduceOp::kMax}) group.all_reduce(t, op);
  group.all_reduce_coalesced({t, t});
  group.broadcast(t, 0);
  group.reduce(t, 0);
  expect(t, "in place");
  t = out(), group.all_gather_into_tensor(t, in), expect(t, "all_gather_into_tensor");
  t = out(), group.all_gather({t}, in), expect(t, "all_gather");
  t = out(), group.all_gather_coalesced({t}, {in}), expect(t, "all_gather_coalesced");
  t = out(), group.reduce_scatter_tensor(t, in), expect(t, "reduce_scatter_tensor");
  t = out(), group.reduce_scatter_v(t, in, {24}), expect(t, "reduce_scatter_v");
  t = out(), group.reduce_scatter(t, {in}), expect(t, "reduce_scatter");
  t = out(), group.reduce_scatter_coalesced({t}, {in}), expect(t, "reduce_scatter_coalesced");
  t = out(), group.all_to_all_single(t, in), expect(t, "all_to_all_single");
  t = out(), group.all_to_all({t}, {in}), expect(t, "all_to_all");
  t = out(), group.gather({t}, in, 0), expect(t, "gather");
  t = out(), group.scatter(t, {in}, 0), expect(t, "scatter");
  group.start_coalescing();
  t = out();
  group.all_gather_into_tensor(t, in);
  group.end_coalescing()->wait();
  expect(t, "coalesced");
  group.barrier();
  group.monitored_barrier(std::chrono::seconds(1));
  EXPECT_EQ(group.all_gather_object("one"), std::vector<std::string>{"one"});
  EXPECT_EQ(group.broadcast_object_list({"a", ""}, 0), (std::vector<std::string>{"a", ""}));
  EXPECT_THROW(group.send(in, 0), base::Error);  // to itself
}

TEST(Nccl, AGroupRunsEveryCollectiveOnTheGpuAndOnTheCpu) {
  DS_NEEDS_GPU();
  const GroupPtr world = init_world({}, Backend::kNccl);
  EXPECT_EQ(world->device(), kGpu);
  for (const auto& group : {world, world->new_group({0})}) {
    EXPECT_EQ(group->device(), kGpu);
    run_every_collective(*group, kGpu);
    run_every_collective(*group, at::kCPU);
  }
}

TEST(Nccl, TheLocalRankChoosesTheGpu) {
  const auto make = [] { return init_world({.local_rank = 1}, Backend::kNccl)->device(); };
  try {
    EXPECT_EQ(make(), at::Device(at::kCUDA, 1));
  } catch (const base::Error& error) {  // a build without CUDA
    EXPECT_THAT(error.what(), testing::HasSubstr("the NCCL backend is not available in this build"));
  }
}

TEST(Nccl, AGroupOnTheCpuSaysSo) { EXPECT_EQ(single_group()->device(), at::kCPU); }

}  // namespace
}  // namespace deepspeed::comm
