// Attention forward + backward on one thread: ours, ATen's scaled_dot_product_attention, the T x T product.
//   ops_attention_bench --benchmark_filter=...
#include "deepspeed/ops/attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>

#include <optional>

#include "deepspeed/ops/dropout.h"

namespace {

using deepspeed::ops::AttentionOptions;
using Attention = at::Tensor (*)(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double p);

at::Tensor ours(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double p) {
  return deepspeed::ops::attention(q, k, v, {true, {}, p, {1, 2}, 0});
}

at::Tensor aten(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double p) {
  return at::scaled_dot_product_attention(q, k, v, std::nullopt, p, true);
}

at::Tensor matrices(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double p) {
  const int64_t t = q.size(2);
  const at::Tensor hidden = at::ones({t, t}, at::kBool).triu(1);
  const at::Tensor scores = at::matmul(q, k.transpose(2, 3)) / 8;
  return at::matmul(at::dropout(at::softmax(scores.masked_fill(hidden, -INFINITY), -1), p, true), v);
}

/// Arguments: length, dtype, percent dropped. Batch 2, 8 heads of 64, slices of one fused projection.
void forward_backward(benchmark::State& state, Attention attention) {
  const int64_t b = 2, h = 8, t = state.range(0), d = 64;
  const auto dtype = static_cast<at::ScalarType>(state.range(1));
  const at::Tensor fused = at::randn({b, t, 3, h, d}).to(dtype);
  std::vector<at::Tensor> part;
  for (int64_t i = 0; i < 3; ++i) {
    part.push_back(fused.select(2, i).transpose(1, 2).detach().requires_grad_());
  }
  const at::Tensor grad = at::randn({b, t, h, d}).to(dtype).transpose(1, 2);
  for (auto _ : state) {
    const at::Tensor out = attention(part[0], part[1], part[2], static_cast<double>(state.range(2)) / 100);
    benchmark::DoNotOptimize(torch::autograd::grad({out}, {part[0], part[1], part[2]}, {grad}));
  }
  // Two products forward and five backward, half of each hidden by causality.
  const double flops = 7.0 * 2 * static_cast<double>(b * h * t * t * d) / 2;
  state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

void dropout(benchmark::State& state) {
  const at::Tensor x = at::randn({state.range(0)});
  for (auto _ : state) benchmark::DoNotOptimize(deepspeed::ops::dropout(x, 0.1, {1, 2}));
  state.SetBytesProcessed(state.iterations() * state.range(0) * 8);
}

void aten_dropout(benchmark::State& state) {
  const at::Tensor x = at::randn({state.range(0)});
  for (auto _ : state) benchmark::DoNotOptimize(at::dropout(x, 0.1, true));
  state.SetBytesProcessed(state.iterations() * state.range(0) * 8);
}

void cases(benchmark::internal::Benchmark* bench) {
  for (at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (int64_t percent : {0, 10}) {
      for (int64_t t : {128, 256, 512, 1024}) bench->Args({t, static_cast<int64_t>(dtype), percent});
    }
  }
  bench->ArgNames({"T", "dtype", "dropout"})->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(forward_backward, ours, ours)->Apply(cases);
BENCHMARK_CAPTURE(forward_backward, aten, aten)->Apply(cases);
BENCHMARK_CAPTURE(forward_backward, matrices, matrices)->Apply(cases);
BENCHMARK(dropout)->Arg(1 << 20);
BENCHMARK(aten_dropout)->Arg(1 << 20);

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(1);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
