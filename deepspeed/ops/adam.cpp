#include "deepspeed/ops/adam.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/cpu/adam_kernel.h"
#include "deepspeed/ops/isa_table.h"

namespace deepspeed::ops {
namespace {

using cpu::AdamFormat;

// Threads meet only at multiples of this, so that no two write one cache line of an aligned buffer.
constexpr int64_t kBlock = 4096;
constexpr int64_t kBlocksPerThread = 8;

AdamFormat format_of(const at::Tensor& t) {
  if (!t.defined()) return AdamFormat::kNone;
  switch (t.scalar_type()) {
    case at::kFloat:
      return AdamFormat::kFp32;
    case at::kBFloat16:
      return AdamFormat::kBf16;
    case at::kHalf:
      return AdamFormat::kFp16;
    default:
      return AdamFormat::kNone;
  }
}

void check(const char* name, const at::Tensor& t, int64_t numel, std::initializer_list<AdamFormat> allowed) {
  DS_CHECK(t.defined(), "adam_step: {} is undefined", name);
  DS_CHECK(t.device().is_cpu() && t.is_contiguous(),
           "adam_step: {} must be a contiguous CPU tensor, it is {} on {}", name,
           t.is_contiguous() ? "contiguous" : "not contiguous", t.device().str());
  DS_CHECK(t.numel() == numel, "adam_step: {} has {} elements, param has {}", name, t.numel(), numel);
  DS_CHECK(std::find(allowed.begin(), allowed.end(), format_of(t)) != allowed.end(),
           "adam_step: {} cannot be of type {}", name, c10::toString(t.scalar_type()));
}

cpu::AdamConstants fold(const AdamArgs& a) {
  const double bc1 = a.bias_correction ? 1 - std::pow(a.beta1, static_cast<double>(a.step)) : 1;
  const double bc2 = a.bias_correction ? 1 - std::pow(a.beta2, static_cast<double>(a.step)) : 1;
  cpu::AdamConstants c{};
  c.grad_scale = static_cast<float>(a.grad_scale);
  c.l2 = static_cast<float>(a.adamw ? 0 : a.weight_decay);
  c.beta1 = static_cast<float>(a.beta1);
  c.one_minus_beta1 = static_cast<float>(1 - a.beta1);
  c.beta2 = static_cast<float>(a.beta2);
  c.one_minus_beta2 = static_cast<float>(1 - a.beta2);
  c.inverse_sqrt_bc2 = static_cast<float>(1 / std::sqrt(bc2));
  c.eps = static_cast<float>(a.eps);
  c.keep = static_cast<float>(a.adamw ? 1 - a.lr * a.weight_decay : 1);
  c.step_size = static_cast<float>(a.lr / bc1);
  return c;
}

}  // namespace

void adam_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& exp_avg,
               const at::Tensor& exp_avg_sq, const AdamArgs& args, const at::Tensor& low_precision_copy) {
  DS_CHECK(param.defined(), "adam_step: param is undefined");
  const int64_t n = param.numel();
  check("param", param, n, {AdamFormat::kFp32});
  check("grad", grad, n, {AdamFormat::kFp32, AdamFormat::kBf16, AdamFormat::kFp16});
  check("exp_avg", exp_avg, n, {AdamFormat::kFp32});
  check("exp_avg_sq", exp_avg_sq, n, {AdamFormat::kFp32});
  if (low_precision_copy.defined())
    check("low_precision_copy", low_precision_copy, n, {AdamFormat::kBf16, AdamFormat::kFp16});
  DS_CHECK(!args.bias_correction || args.step >= 1, "adam_step: step must be at least 1, it is {}",
           args.step);
  if (n == 0) return;

  const cpu::AdamBuffers buffers{static_cast<float*>(param.data_ptr()),
                                 grad.const_data_ptr(),
                                 static_cast<float*>(exp_avg.data_ptr()),
                                 static_cast<float*>(exp_avg_sq.data_ptr()),
                                 low_precision_copy.defined() ? low_precision_copy.data_ptr() : nullptr,
                                 format_of(grad),
                                 format_of(low_precision_copy)};
  const cpu::AdamConstants constants = fold(args);
  static const auto kernel = cpu::adam_kernel(chosen_isa("adam"));
  const int64_t blocks = (n + kBlock - 1) / kBlock;
  at::parallel_for(0, blocks, kBlocksPerThread, [&](int64_t begin, int64_t end) {
    kernel(buffers, begin * kBlock, std::min(end * kBlock, n), constants);
  });
}

}  // namespace deepspeed::ops
