// Matrix products of one rank of the 45M GPT-2 (512 tokens), forward and backward, in GFLOP/s: our kernel
// (ops/gemm.h) beside ATen's product, in turn. One thread unless OMP_NUM_THREADS says otherwise.
//   ops_matmul_bench [--pairs N]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/gemm.h"

namespace {

namespace ops = deepspeed::ops;

// out [m, n] = a @ b; a and b are given with their rows or their columns contiguous.
struct Product {
  const char* name;
  int64_t m, n, k;
  bool a_by_columns, b_by_columns;
};

constexpr int64_t kTokens = 512, kWidth = 512, kBlock = 513;

std::vector<Product> products() {
  std::vector<Product> all;
  for (const int64_t out : {kWidth, 3 * kWidth, 4 * kWidth}) {
    all.push_back({"x W", kTokens, out, kWidth, false, false});
    all.push_back({"x W'", kTokens, out, kWidth, false, true});
    all.push_back({"dy W'", kTokens, kWidth, out, false, true});
    all.push_back({"x' dy", kWidth, out, kTokens, true, false});
  }
  all.push_back({"x W", kTokens, kWidth, 4 * kWidth, false, false});
  all.push_back({"dy W'", kTokens, 4 * kWidth, kWidth, false, true});
  all.push_back({"x' dy", 4 * kWidth, kWidth, kTokens, true, false});
  all.push_back({"head block", kBlock, 511, kWidth, false, true});
  all.push_back({"head dx", 511, kWidth, kBlock, true, false});
  all.push_back({"head dW", kBlock, kWidth, 511, false, false});
  all.push_back({"head whole", kTokens, 50257, kWidth, false, true});
  for (const int64_t rows : {1, 4, 16, 64})
    all.push_back({"few rows", rows, 3 * kWidth, kWidth, false, true});
  return all;
}

double seconds(const std::function<void()>& work, int calls) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / calls;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void measure(const Product& p, at::ScalarType type, const ops::cpu::GemmKernel& kernel, int pairs) {
  const auto factor = [&](int64_t rows, int64_t columns, bool by_columns) {
    return by_columns ? at::randn({columns, rows}).to(type).t() : at::randn({rows, columns}).to(type);
  };
  const at::Tensor a = factor(p.m, p.k, p.a_by_columns), b = factor(p.k, p.n, p.b_by_columns);
  const at::Tensor out = at::empty({p.m, p.n});
  at::Tensor rival = at::empty({p.m, p.n}, type);
  const double flop = 2.0 * static_cast<double>(p.m * p.n) * static_cast<double>(p.k);
  const int calls = std::max(1, static_cast<int>(3e9 / flop));
  std::vector<double> ours, atens, ratios;
  for (int i = 0; i <= pairs; ++i) {
    const double mine = seconds([&] { ops::gemm(kernel, out, a, b); }, calls);
    const double aten = seconds([&] { at::mm_out(rival, a, b); }, calls);
    if (i == 0) continue;  // caches, buffers and generated code are new
    ours.push_back(flop / mine / 1e9), atens.push_back(flop / aten / 1e9), ratios.push_back(aten / mine);
  }
  fmt::print("{:<11} {:<5} {:>5} x {:>5} x {:>5} {:>9.1f} {:>9.1f} {:>7.2f}\n", p.name,
             type == at::kFloat ? "fp32" : "bf16", p.m, p.n, p.k, median(ours), median(atens),
             median(ratios));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Matrix products beside ATen's.");
  int pairs = 7;
  app.add_option("--pairs", pairs)->check(CLI::Range(1, 1000))->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const auto& features = deepspeed::base::cpu_features();
  fmt::print("{} threads, medians of {} pairs; {}\n", at::get_num_threads(), pairs,
             deepspeed::base::cpu_summary());
  fmt::print("{:<11} {:<5} {:>21} {:>9} {:>9} {:>7}\n", "product", "type", "m x n x k", "ours", "ATen",
             "ratio");
  for (const Product& p : products()) {
    if (features.avx512) measure(p, at::kFloat, ops::cpu::kGemmFp32Avx512, pairs);
    if (features.avx512_bf16) measure(p, at::kBFloat16, ops::cpu::kGemmBf16Avx512, pairs);
  }
}
