#include "deepspeed/ops/cuda/element.cuh"
#include "deepspeed/ops/cuda/kernels.h"

namespace deepspeed::ops::cuda {
namespace {

using cpu::AdamConstants;
using cpu::AdamDecay;
using cpu::UpdateBuffers;

// Every product and sum is written out as AdamRule (ops/cpu/adam_rule.h) rounds it, so that nvcc contracts
// none.
__device__ void update(float& p, float g, float& m, float& v, const AdamConstants& c) {
  g = __fmul_rn(g, c.grad_scale);
  if (c.decay == AdamDecay::kL2) g = __fmaf_rn(p, c.weight_decay, g);
  m = __fmaf_rn(g, c.one_minus_beta1, __fmul_rn(m, c.beta1));
  v = __fmaf_rn(__fmul_rn(c.one_minus_beta2, g), g, __fmul_rn(v, c.beta2));
  const float root = __fsqrt_rn(__fmul_rn(v, c.correction2));
  float step = __fdiv_rn(__fmul_rn(m, c.correction1), __fadd_rn(root, c.eps));
  if (c.decay == AdamDecay::kDecoupled) step = __fmaf_rn(c.weight_decay, p, step);
  p = __fmaf_rn(c.step_size, step, p);
}

template <class Param, class Grad, class State, class Copy>
__global__ void adam_kernel(UpdateBuffers b, int64_t numel, AdamConstants c) {
  auto* param = static_cast<Param*>(b.param);
  auto* exp_avg = static_cast<State*>(b.states[0]);
  auto* exp_avg_sq = static_cast<State*>(b.states[1]);
  auto* copy = static_cast<Copy*>(b.copy);
  const auto* grad = static_cast<const Grad*>(b.grad);
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < numel; i += stride) {
    float p = load(param, i), m = load(exp_avg, i), v = load(exp_avg_sq, i);
    update(p, load(grad, i), m, v, c);
    store(param, i, p);
    store(exp_avg, i, m);
    store(exp_avg_sq, i, v);
    if (copy != nullptr) store(copy, i, p);
  }
}

template <class Param, class Grad, class State>
void launch(const UpdateBuffers& b, int64_t numel, const AdamConstants& c, cudaStream_t stream) {
  const unsigned blocks = blocks_for(numel);
  if (b.copy != nullptr && b.copy_type == cpu::Element::kFp16)
    adam_kernel<Param, Grad, State, __half><<<blocks, kThreads, 0, stream>>>(b, numel, c);
  else
    adam_kernel<Param, Grad, State, __nv_bfloat16><<<blocks, kThreads, 0, stream>>>(b, numel, c);
}

}  // namespace

void adam_step(const UpdateBuffers& b, int64_t numel, const AdamConstants& c, Stream stream) {
  if (numel == 0) return;
  const auto on = static_cast<cudaStream_t>(stream);
  with_type(b.param_type, [&](auto param) {
    with_type(b.grad_type, [&](auto grad) {
      using Param = decltype(param);
      using Grad = decltype(grad);
      if (b.state_type == cpu::Element::kFp32)
        launch<Param, Grad, float>(b, numel, c, on);
      else if (b.state_type == b.param_type)
        launch<Param, Grad, Param>(b, numel, c, on);
      else
        launch<Param, Grad, __nv_bfloat16>(b, numel, c, on);
    });
  });
  check_launch("adam_step");
}

}  // namespace deepspeed::ops::cuda
