// Adagrad on one vector. In an unnamed namespace, as update_loop.h.
#pragma once

#include "deepspeed/ops/cpu/adagrad_kernel.h"
#include "deepspeed/ops/cpu/update_loop.h"

namespace deepspeed::ops::cpu {
namespace {

template <class V>
struct AdagradRule {
  using F = typename V::F;
  static constexpr int kStates = 1;
  F grad_scale, weight_decay, eps, step_size;
  bool fused, decay;

  explicit AdagradRule(const AdagradConstants& c)
      : grad_scale(V::set1(c.grad_scale)),
        weight_decay(V::set1(c.weight_decay)),
        eps(V::set1(c.eps)),
        step_size(V::set1(c.step_size)),
        fused(c.fused),
        decay(c.decay) {}

  DS_INLINE void update(F& p, F g, F* sum) const {
    if (decay) g = V::fma(p, weight_decay, g);
    sum[0] = V::fma(g, g, sum[0]);
    const F root = V::add(V::sqrt(sum[0]), eps);
    p = fused ? V::add(p, V::mul(step_size, g) / root) : V::fma(g / root, step_size, p);
  }
};

}  // namespace
}  // namespace deepspeed::ops::cpu
