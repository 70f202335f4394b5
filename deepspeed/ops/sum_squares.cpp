#include "deepspeed/ops/sum_squares.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/cpu/sum_squares_kernel.h"
#include "deepspeed/ops/formulas.h"
#include "deepspeed/ops/isa_table.h"
#include "deepspeed/ops/parallel.h"

namespace deepspeed::ops {
namespace {

constexpr int64_t kBlock = 16384;
constexpr int64_t kBlocksPerThread = 4;

cpu::SumFormat format_of(const at::Tensor& x) {
  switch (x.scalar_type()) {
    case at::kFloat:
      return cpu::SumFormat::kFp32;
    case at::kBFloat16:
      return cpu::SumFormat::kBf16;
    case at::kHalf:
      return cpu::SumFormat::kFp16;
    default:
      base::fail("sum_squares: type {} is not fp32, bf16 or fp16", c10::toString(x.scalar_type()));
  }
}

}  // namespace

double sum_squares(const at::Tensor& x) {
  if (x.defined() && x.is_cuda()) return formula::sum_squares(x);
  DS_CHECK(x.defined() && x.device().is_cpu() && x.is_contiguous(),
           "sum_squares: needs a contiguous CPU tensor");
  static const auto kernel = cpu::sum_squares_kernel(chosen_isa("sum_squares"));
  const auto format = format_of(x);
  const auto* data = static_cast<const char*>(x.const_data_ptr());
  const int64_t n = x.numel(), size = x.element_size();
  std::vector<double> sums((n + kBlock - 1) / kBlock);
  parallel_ranges(static_cast<int64_t>(sums.size()), kBlocksPerThread, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b)
      sums[b] = kernel(data + b * kBlock * size, std::min(kBlock, n - b * kBlock), format);
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace deepspeed::ops
