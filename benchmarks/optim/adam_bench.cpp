// Our Adam step, torch's fused AdamW, and the memory limit: a loop with the same four reads and three writes.
// GB/s counts 28 B an fp32 parameter (and what half-precision gradients and copies change of it).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/ops/_fused_adamw.h>
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/adam.h"
#include "deepspeed/ops/huge_pages.h"
#include "deepspeed/ops/isa_table.h"
#include "deepspeed/ops/sum_squares.h"

namespace deepspeed {
namespace {

at::Tensor buffer(const at::Tensor& values, bool huge_pages) {
  return huge_pages ? ops::empty_huge(values.sizes(), values.scalar_type()).copy_(values) : values;
}

struct State {
  State(int64_t n, at::ScalarType grad_type, bool huge_pages)
      : param(buffer(at::randn({n}), huge_pages)),
        grad(buffer(at::randn({n}).to(grad_type), huge_pages)),
        exp_avg(buffer(at::randn({n}) * 0.01, huge_pages)),
        exp_avg_sq(buffer(at::rand({n}) * 1e-4, huge_pages)) {}
  at::Tensor param, grad, exp_avg, exp_avg_sq;
};

void report(benchmark::State& bench, int64_t n, int64_t bytes_each) {
  bench.SetBytesProcessed(bench.iterations() * n * bytes_each);
  bench.counters["Gparam/s"] =
      benchmark::Counter(static_cast<double>(bench.iterations() * n) * 1e-9, benchmark::Counter::kIsRate);
}

void ours(benchmark::State& bench) {
  const int64_t n = bench.range(0);
  at::set_num_threads(static_cast<int>(bench.range(1)));
  State s(n, at::kFloat, bench.range(2) != 0);
  ops::AdamArgs args{.weight_decay = 0.01, .step = 10};
  for (auto _ : bench) ops::adam_step(s.param, s.grad, s.exp_avg, s.exp_avg_sq, args);
  report(bench, n, 28);
}

void ours_bf16_grad_and_copy(benchmark::State& bench) {
  const int64_t n = bench.range(0);
  at::set_num_threads(static_cast<int>(bench.range(1)));
  State s(n, at::kBFloat16, bench.range(2) != 0);
  const at::Tensor copy = buffer(at::zeros({n}, at::kBFloat16), bench.range(2) != 0);
  ops::AdamArgs args{.weight_decay = 0.01, .step = 10};
  for (auto _ : bench) ops::adam_step(s.param, s.grad, s.exp_avg, s.exp_avg_sq, args, copy);
  report(bench, n, 28);
}

void torch_fused(benchmark::State& bench) {
  const int64_t n = bench.range(0);
  at::set_num_threads(static_cast<int>(bench.range(1)));
  State s(n, at::kFloat, bench.range(2) != 0);
  at::Tensor step = at::full({}, 10.0f);
  for (auto _ : bench)
    at::_fused_adamw_({s.param}, {s.grad}, {s.exp_avg}, {s.exp_avg_sq}, {}, {step}, 1e-3, 0.9, 0.999, 0.01,
                      1e-8, false, false);
  report(bench, n, 28);
}

/// Reads four arrays and writes three of them back with next to no arithmetic.
void memory_limit(benchmark::State& bench) {
  using Floats = float __attribute__((vector_size(64), aligned(4), may_alias));
  constexpr int64_t kWidth = 16, kAhead = 32;
  const int64_t n = bench.range(0);
  at::set_num_threads(static_cast<int>(bench.range(1)));
  State s(n, at::kFloat, bench.range(2) != 0);
  auto floats = [](const at::Tensor& t) { return reinterpret_cast<Floats*>(t.data_ptr<float>()); };
  Floats *p = floats(s.param), *g = floats(s.grad), *m = floats(s.exp_avg), *v = floats(s.exp_avg_sq);
  for (auto _ : bench)
    at::parallel_for(0, n / kWidth, 1 << 11, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        for (const Floats* stream : {p, g, m, v}) __builtin_prefetch(stream + i + kAhead);
        const Floats x = g[i];
        m[i] += x;
        v[i] += x;
        p[i] += x;
      }
    });
  report(bench, n, 28);
}

void gradient_norm(benchmark::State& bench) {
  const int64_t n = bench.range(0);
  at::set_num_threads(static_cast<int>(bench.range(1)));
  const at::Tensor x = buffer(at::randn({n}), bench.range(2) != 0);
  for (auto _ : bench) benchmark::DoNotOptimize(ops::sum_squares(x));
  report(bench, n, 4);
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"n", "threads", "huge_pages"})->UseRealTime()->Unit(benchmark::kMillisecond);
  for (int64_t n : {int64_t{1} << 20, int64_t{10} << 20, int64_t{124} << 20})
    for (int threads : {1, 2})
      for (int huge_pages : {0, 1}) b->Args({n, threads, huge_pages});
}

BENCHMARK(ours)->Apply(sizes);
BENCHMARK(torch_fused)->Apply(sizes);
BENCHMARK(memory_limit)->Apply(sizes);
BENCHMARK(ours_bf16_grad_and_copy)->Apply(sizes);
BENCHMARK(gradient_norm)->Apply(sizes);

}  // namespace
}  // namespace deepspeed

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  benchmark::AddCustomContext("cpu", deepspeed::base::cpu_features().model);
  benchmark::AddCustomContext("isa", deepspeed::base::isa_name(deepspeed::ops::chosen_isa("adam")));
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
