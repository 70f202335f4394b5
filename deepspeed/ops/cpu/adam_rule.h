// Adam on one vector. In an unnamed namespace, as update_loop.h.
#pragma once

#include "deepspeed/ops/cpu/adam_kernel.h"
#include "deepspeed/ops/cpu/update_loop.h"

namespace deepspeed::ops::cpu {
namespace {

template <class V>
struct AdamRule {
  using F = typename V::F;
  static constexpr int kStates = 2;
  F grad_scale, beta1, one_minus_beta1, beta2, one_minus_beta2, eps, weight_decay, correction1, correction2,
      step_size;
  AdamDecay decay;
  bool fused;

  explicit AdamRule(const AdamConstants& c)
      : grad_scale(V::set1(c.grad_scale)),
        beta1(V::set1(c.beta1)),
        one_minus_beta1(V::set1(c.one_minus_beta1)),
        beta2(V::set1(c.beta2)),
        one_minus_beta2(V::set1(c.one_minus_beta2)),
        eps(V::set1(c.eps)),
        weight_decay(V::set1(c.weight_decay)),
        correction1(V::set1(c.correction1)),
        correction2(V::set1(c.correction2)),
        step_size(V::set1(c.step_size)),
        decay(c.decay),
        fused(c.fused) {}

  DS_INLINE void update(F& p, F g, F* moments) const {
    if (decay == AdamDecay::kL2) g = V::fma(p, weight_decay, g);
    F &m = moments[0], &v = moments[1];
    m = V::fma(g, one_minus_beta1, V::mul(m, beta1));
    if (fused) {
      v = V::fma(V::mul(one_minus_beta2, g), g, V::mul(v, beta2));
      F step = V::mul(m, correction1) / V::add(V::sqrt(V::mul(v, correction2)), eps);
      if (decay == AdamDecay::kDecoupled) step = V::fma(weight_decay, p, step);
      p = V::fma(step_size, step, p);
    } else {
      v = V::fma(V::mul(g, g), one_minus_beta2, V::mul(v, beta2));
      const F step = m / V::fma(V::sqrt(v), correction2, eps);
      if (decay == AdamDecay::kDecoupled) p = V::fma(p, weight_decay, p);
      p = V::fma(step, step_size, p);
    }
  }
};

}  // namespace
}  // namespace deepspeed::ops::cpu
