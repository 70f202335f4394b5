// Our Adam step, torch's fused AdamW, and the memory limit: a loop with the same four reads and three writes.
// GB/s counts 28 B an fp32 parameter (and what half-precision gradients and copies change of it).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/ops/_fused_adamw.h>
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/adam.h"
#include "deepspeed/ops/isa_table.h"
#include "deepspeed/ops/sum_squares.h"

namespace deepspeed {
namespace {

struct State {
  explicit State(int64_t n, at::ScalarType grad_type = at::kFloat)
      : param(at::randn({n})),
        grad(at::randn({n}).to(grad_type)),
        exp_avg(at::randn({n}) * 0.01),
        exp_avg_sq(at::rand({n}) * 1e-4) {}
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
  State s(n);
  ops::AdamArgs args{.weight_decay = 0.01, .step = 10};
  for (auto _ : bench) ops::adam_step(s.param, s.grad, s.exp_avg, s.exp_avg_sq, args);
  report(bench, n, 28);
}

void ours_bf16_grad_and_copy(benchmark::State& bench) {
  const int64_t n = bench.range(0);
  at::set_num_threads(static_cast<int>(bench.range(1)));
  State s(n, at::kBFloat16);
  const at::Tensor copy = at::zeros({n}, at::kBFloat16);
  ops::AdamArgs args{.weight_decay = 0.01, .step = 10};
  for (auto _ : bench) ops::adam_step(s.param, s.grad, s.exp_avg, s.exp_avg_sq, args, copy);
  report(bench, n, 28);
}

void torch_fused(benchmark::State& bench) {
  const int64_t n = bench.range(0);
  at::set_num_threads(static_cast<int>(bench.range(1)));
  State s(n);
  at::Tensor step = at::full({}, 10.0f);
  for (auto _ : bench)
    at::_fused_adamw_({s.param}, {s.grad}, {s.exp_avg}, {s.exp_avg_sq}, {}, {step}, 1e-3, 0.9, 0.999, 0.01,
                      1e-8, false, false);
  report(bench, n, 28);
}

/// Reads four arrays and writes three of them back with next to no arithmetic.
void memory_limit(benchmark::State& bench) {
  const int64_t n = bench.range(0);
  at::set_num_threads(static_cast<int>(bench.range(1)));
  State s(n);
  float *p = s.param.data_ptr<float>(), *g = s.grad.data_ptr<float>(), *m = s.exp_avg.data_ptr<float>(),
        *v = s.exp_avg_sq.data_ptr<float>();
  for (auto _ : bench)
    at::parallel_for(0, n, 1 << 15, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        m[i] += g[i];
        v[i] += g[i];
        p[i] += g[i];
      }
    });
  report(bench, n, 28);
}

void gradient_norm(benchmark::State& bench) {
  const int64_t n = bench.range(0);
  at::set_num_threads(static_cast<int>(bench.range(1)));
  const at::Tensor x = at::randn({n});
  for (auto _ : bench) benchmark::DoNotOptimize(ops::sum_squares(x));
  report(bench, n, 4);
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"n", "threads"})->UseRealTime()->Unit(benchmark::kMillisecond);
  for (int64_t n : {int64_t{1} << 20, int64_t{10} << 20, int64_t{124} << 20})
    for (int threads : {1, 2}) b->Args({n, threads});
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
