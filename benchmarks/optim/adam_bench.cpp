// The optimizers' steps beside torch's and beside memory: variants take turns on the same buffers, so that
// what else the machine does meets all of them.   adam_bench [--json] [--small-pages] [--rounds N]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/ops/_fused_adagrad.h>
#include <ATen/ops/_fused_adamw.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/adagrad.h"
#include "deepspeed/ops/adam.h"
#include "deepspeed/ops/huge_pages.h"
#include "deepspeed/ops/isa_table.h"
#include "deepspeed/ops/lion.h"
#include "deepspeed/ops/parallel.h"

namespace deepspeed {
namespace {

struct Flags {
  bool json = false, small_pages = false;
  int rounds = 15;
};

struct State {
  State(int64_t n, bool small_pages) {
    const auto buffer = [&](at::ScalarType type) {
      return small_pages ? at::empty({n}, type) : ops::empty_huge({n}, type);
    };
    param = buffer(at::kFloat).normal_();
    grad = buffer(at::kFloat).normal_();
    exp_avg = buffer(at::kFloat).normal_().mul_(0.01);
    exp_avg_sq = buffer(at::kFloat).uniform_().mul_(1e-4);
    grad16 = buffer(at::kBFloat16).copy_(grad);
    copy16 = buffer(at::kBFloat16).zero_();
  }
  at::Tensor param, grad, exp_avg, exp_avg_sq, grad16, copy16;
  at::Tensor step = at::full({}, 10.0f);
};

/// `rival`: the row that this one is compared with.
struct Variant {
  const char *name, *rival;
  int64_t bytes;  // an element, read and written
  std::function<void()> run;
};

/// Reads four arrays and writes three of them back with next to no arithmetic.
void memory_loop(const State& s) {
  using Floats = float __attribute__((vector_size(64), aligned(4), may_alias));
  constexpr int64_t kWidth = 16, kAhead = 32;
  const auto floats = [](const at::Tensor& t) { return reinterpret_cast<Floats*>(t.data_ptr<float>()); };
  Floats *p = floats(s.param), *g = floats(s.grad), *m = floats(s.exp_avg), *v = floats(s.exp_avg_sq);
  ops::parallel_ranges(s.param.numel() / kWidth, 1 << 11, [&](int64_t begin, int64_t end) {
    const Floats tiny = Floats{} + 1e-30f;
    for (int64_t i = begin; i < end; ++i) {
      for (const Floats* stream : {p, g, m, v}) __builtin_prefetch(stream + i + kAhead);
      const Floats x = g[i] * tiny;
      m[i] += x;
      v[i] += x;
      p[i] += x;
    }
  });
}

void eager_lion(const State& s) {
  const at::Tensor step = s.exp_avg.mul(0.9).add_(s.grad, 0.1).sign_();
  s.param.mul_(1 - 1e-5).add_(step, -1e-3);
  s.exp_avg.mul_(0.99).add_(s.grad, 0.01);
}

std::vector<Variant> variants(const State& s) {
  const ops::AdamArgs adam{.weight_decay = 0.01, .step = 10, .order = ops::UpdateOrder::kCpu};
  ops::AdamArgs fused = adam, scaled = adam;
  fused.order = ops::UpdateOrder::kFused, scaled.grad_scale = 0.3;
  const auto step = [&s](const at::Tensor& grad, const ops::AdamArgs& args, const at::Tensor& copy) {
    return [=, &s] { ops::adam_step(s.param, grad, s.exp_avg, s.exp_avg_sq, args, copy); };
  };
  return {
      {"loop of 4 reads, 3 writes", "", 28, [&s] { memory_loop(s); }},
      {"torch _fused_adamw_", "", 28,
       [&s] {
         at::_fused_adamw_({s.param}, {s.grad}, {s.exp_avg}, {s.exp_avg_sq}, {}, {s.step}, 1e-3, 0.9, 0.999,
                           0.01, 1e-8, false, false);
       }},
      {"adam", "torch _fused_adamw_", 28, step(s.grad, adam, {})},
      {"adam, fused order", "torch _fused_adamw_", 28, step(s.grad, fused, {})},
      {"adam, unscale + clip + bf16 copy", "adam", 30, step(s.grad, scaled, s.copy16)},
      {"adam, bf16 gradient + the same", "adam", 28, step(s.grad16, scaled, s.copy16)},
      {"torch _fused_adagrad_", "", 20,
       [&s] {
         at::_fused_adagrad_({s.param}, {s.grad}, {s.exp_avg_sq}, {s.step}, 1e-3, 0, 0, 1e-10, false);
       }},
      {"adagrad", "torch _fused_adagrad_", 20,
       [&s] { ops::adagrad_step(s.param, s.grad, s.exp_avg_sq, {.lr = 1e-3}); }},
      {"torch eager lion", "", 20, [&s] { eager_lion(s); }},
      {"lion", "torch eager lion", 20,
       [&s] { ops::lion_step(s.param, s.grad, s.exp_avg, {.weight_decay = 0.01}); }},
  };
}

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + values.size() / 2);
  return values[values.size() / 2];
}

/// Milliseconds a call; small sizes are called often enough to meet caches as they left them.
double measure(const Variant& variant, int64_t n) {
  const int calls = static_cast<int>(std::max<int64_t>(1, (int64_t{16} << 20) / n));
  variant.run();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) variant.run();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count() / calls;
}

void report(const std::vector<Variant>& all, const std::vector<std::vector<double>>& times, int64_t n,
            const Flags& flags) {
  const auto index = [&](std::string_view name) {
    return static_cast<size_t>(std::ranges::find(all, name, &Variant::name) - all.begin());
  };
  const auto ratio = [&](size_t slow, size_t fast) {
    std::vector<double> ratios;
    for (int r = 0; r < flags.rounds; ++r) ratios.push_back(times[slow][r] / times[fast][r]);
    return median(ratios);
  };
  for (size_t v = 0; v < all.size(); ++v) {
    const double ms = median(times[v]), limit = ms / ratio(v, 0) * static_cast<double>(all[v].bytes) / 28;
    const bool has_rival = *all[v].rival != 0;
    const double better = has_rival ? ratio(index(all[v].rival), v) : 0;
    const double gb = static_cast<double>(n * all[v].bytes) / ms * 1e-6;
    if (flags.json && has_rival)
      fmt::print(
          R"({{"name":"{}, {}M, {} threads","unit":"ms","ours":{:.3f},"rival":{:.3f},"rival_name":"{}",)"
          R"("ratio":{:.3f},"limit":{:.3f},"cpu":"{}"}})"
          "\n",
          all[v].name, n >> 20, at::get_num_threads(), ms, median(times[index(all[v].rival)]), all[v].rival,
          better, limit, base::cpu_features().model);
    else if (!flags.json)
      fmt::print("{:>4}M {:>2}  {:<34}{:>9.3f} ms {:>7.1f} GB/s {:>6.0f} % of the loop   {}\n", n >> 20,
                 at::get_num_threads(), all[v].name, ms, gb, 100 * limit / ms,
                 has_rival ? fmt::format("{:.2f} x {}", better, all[v].rival) : "");
  }
}

void run(int64_t n, int threads, const Flags& flags) {
  at::set_num_threads(threads);
  const State state(n, flags.small_pages);
  const std::vector<Variant> all = variants(state);
  std::vector<std::vector<double>> times(all.size(), std::vector<double>(flags.rounds));
  for (int round = 0; round < flags.rounds; ++round)
    for (size_t k = 0; k < all.size(); ++k) {
      const size_t v = round % 2 ? all.size() - 1 - k : k;
      times[v][round] = measure(all[v], n);
    }
  report(all, times, n, flags);
}

}  // namespace
}  // namespace deepspeed

int main(int argc, char** argv) {
  using namespace deepspeed;
  Flags flags;
  std::vector<int64_t> sizes{1, 16, 64};
  std::vector<int> threads{1, 2};
  CLI::App app("The optimizers' steps beside torch's and beside memory.");
  app.add_flag("--json", flags.json, "one line a row");
  app.add_flag("--small-pages", flags.small_pages, "without asking for huge pages");
  app.add_option("--rounds", flags.rounds, "turns of every variant")->check(CLI::PositiveNumber);
  app.add_option("--sizes", sizes, "millions (2^20) of parameters")->check(CLI::PositiveNumber);
  app.add_option("--threads", threads)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  if (!flags.json)
    fmt::print("{}, {}, {} pages, medians of {} rounds\n", base::cpu_features().model,
               base::isa_name(ops::chosen_isa("adam")), flags.small_pages ? "small" : "huge", flags.rounds);
  for (const int64_t size : sizes)
    for (const int count : threads) run(size << 20, count, flags);
  return 0;
}
