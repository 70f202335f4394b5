// Lion on one vector. In an unnamed namespace, as update_loop.h.
#pragma once

#include "deepspeed/ops/cpu/lion_kernel.h"
#include "deepspeed/ops/cpu/update_loop.h"

namespace deepspeed::ops::cpu {
namespace {

template <class V>
struct LionRule {
  using F = typename V::F;
  static constexpr int kStates = 1;
  F grad_scale, beta1, one_minus_beta1, beta2, one_minus_beta2, keep, up, down;
  bool fused;

  explicit LionRule(const LionConstants& c)
      : grad_scale(V::set1(c.grad_scale)),
        beta1(V::set1(c.beta1)),
        one_minus_beta1(V::set1(c.one_minus_beta1)),
        beta2(V::set1(c.beta2)),
        one_minus_beta2(V::set1(c.one_minus_beta2)),
        keep(V::set1(c.keep)),
        up(V::set1(c.lr)),
        down(V::set1(-c.lr)),
        fused(c.fused) {}

  DS_INLINE void update(F& p, F g, F* moment) const {
    F& m = moment[0];
    const F direction = V::fma(g, one_minus_beta1, V::mul(m, beta1));
    const F step =
        fused ? V::where_negative(V::sub(V::set1(0.0f), direction), down, up) : V::flip_sign(down, direction);
    p = V::fma(p, keep, step);
    m = V::fma(g, one_minus_beta2, V::mul(m, beta2));
  }
};

}  // namespace
}  // namespace deepspeed::ops::cpu
