#include "deepspeed/ops/norm.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/kernels.h"
#include "deepspeed/ops/parallel.h"

namespace deepspeed::ops {
namespace {

// Rows are worth a thread from this many elements on.
constexpr int64_t kElementsPerThread = 16384;
// Partial sums of dweight and dbias: their number must not depend on the number of threads.
constexpr int64_t kMaxPartials = 16, kMinRowsPerPartial = 32;

int64_t grain(int64_t cols) { return std::max<int64_t>(1, kElementsPerThread / cols); }

// A parameter in fp32, `from` added. By a loop: calls of libtorch take longer than the norm of a row.
at::Tensor fp32_vector(const at::Tensor& t, float from) {
  if (from == 0 && t.scalar_type() == at::kFloat) return t.contiguous();
  const at::Tensor own = t.contiguous(), made = at::empty({t.numel()}, at::kFloat);
  float* to = made.data_ptr<float>();
  const auto widen = [&]<class T>(const T* numbers) {
    for (int64_t i = 0; i < own.numel(); ++i) to[i] = static_cast<float>(numbers[i]) + from;
  };
  switch (own.scalar_type()) {
    case at::kBFloat16:
      widen(own.const_data_ptr<at::BFloat16>());
      break;
    case at::kHalf:
      widen(own.const_data_ptr<at::Half>());
      break;
    default:
      widen(own.const_data_ptr<float>());
  }
  return made;
}

float* floats(const at::Tensor& t) { return t.defined() ? t.data_ptr<float>() : nullptr; }

}  // namespace

const cpu::NormKernels& norm_kernels(base::Isa isa) {
  return kernels_for(isa, cpu::kNormScalar, cpu::kNormAvx2, cpu::kNormAvx512);
}

NormInputs norm_inputs(const char* op, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                       double eps, float weight_from) {
  checked_element(op, "x", x);
  DS_CHECK(x.dim() >= 1 && x.size(-1) >= 1,
           "{}: x must have a last dimension to normalise over, its shape is [{}]", op,
           fmt::join(x.sizes(), ", "));
  check_vector(op, "weight", weight, x.size(-1));
  if (bias.defined()) check_vector(op, "bias", bias, x.size(-1));
  return {x.contiguous(), fp32_vector(weight, weight_from), bias.defined() ? fp32_vector(bias, 0) : bias,
          eps};
}

at::Tensor norm_forward(NormForwardKernel kernel, const NormInputs& in, const at::Tensor& mean,
                        const at::Tensor& rstd) {
  const int64_t cols = in.x.size(-1), rows = in.x.numel() / cols;
  at::Tensor y = at::empty_like(in.x);
  const cpu::NormForward args{checked_element("norm", "x", in.x),
                              cols,
                              static_cast<float>(in.eps),
                              in.x.const_data_ptr(),
                              floats(in.weight),
                              floats(in.bias),
                              y.data_ptr(),
                              floats(mean),
                              floats(rstd)};
  parallel_ranges(rows, grain(cols), [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
  return y;
}

NormGradients norm_backward(NormBackwardKernel kernel, const NormSaved& saved, const at::Tensor& dy,
                            NormWanted wanted) {
  const int64_t cols = saved.x.size(-1), rows = saved.x.numel() / cols;
  const at::Tensor upstream = dy.to(saved.x.scalar_type()).contiguous(), weight = as_fp32(saved.weight);
  NormGradients out;
  if (wanted.x) out.x = at::empty_like(saved.x);
  const cpu::NormBackward args{checked_element("norm", "x", saved.x),
                               cols,
                               saved.x.const_data_ptr(),
                               upstream.const_data_ptr(),
                               floats(weight),
                               floats(saved.mean),
                               floats(saved.rstd),
                               wanted.x ? out.x.data_ptr() : nullptr,
                               nullptr,
                               nullptr};
  if (!wanted.weight && !wanted.bias) {
    parallel_ranges(rows, grain(cols), [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
    return out;
  }
  const int64_t share = std::max(kMinRowsPerPartial, (rows + kMaxPartials - 1) / kMaxPartials);
  const int64_t partials = std::max<int64_t>(1, (rows + share - 1) / share);
  const auto options = saved.x.options().dtype(at::kFloat);
  at::Tensor dweight = wanted.weight ? at::zeros({partials, cols}, options) : at::Tensor();
  at::Tensor dbias = wanted.bias ? at::zeros({partials, cols}, options) : at::Tensor();
  parallel_ranges(partials, 1, [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; ++p) {
      cpu::NormBackward mine = args;
      if (wanted.weight) mine.dweight = floats(dweight) + p * cols;
      if (wanted.bias) mine.dbias = floats(dbias) + p * cols;
      kernel(mine, p * share, std::min(rows, (p + 1) * share));
    }
  });
  if (wanted.weight) out.weight = dweight.sum(0);
  if (wanted.bias) out.bias = dbias.sum(0);
  return out;
}

}  // namespace deepspeed::ops
