// The body of activation_{scalar,avx2,avx512}.cpp.
#pragma once

#include "deepspeed/ops/cpu/activation_kernel.h"
#include "deepspeed/ops/cpu/lanes.h"
#include "deepspeed/ops/cpu/lanes_math.h"

namespace deepspeed::ops::cpu {
namespace {

// (1 + tanh u) / 2 = logistic(2u), with 2u = kInner (x + kCubic x^3).
constexpr float kInner = 1.59576912f, kCubic = 0.044715f;
constexpr float kInverseSqrtTwoPi = 0.39894228f;

template <class V, class T>
struct GeluTanh {
  using F = typename V::F;
  static DS_INLINE F value(F x) {
    F s, complement;
    logistic<V>(inner(x), s, complement);
    return x * s;
  }
  static DS_INLINE F derivative(F x) {
    F s, complement;
    logistic<V>(inner(x), s, complement);
    const F slope = V::fma(x * x, V::set1(3 * kInner * kCubic), V::set1(kInner));
    return V::fma(x * slope, s * complement, s);
  }

 private:
  static DS_INLINE F inner(F x) { return x * V::fma(x * x, V::set1(kInner * kCubic), V::set1(kInner)); }
};

template <class V, class T>
struct GeluErf {
  using F = typename V::F;
  static DS_INLINE F value(F x) {
    F distribution, bell;
    normal_for_type(x, distribution, bell);
    return x * distribution;
  }
  static DS_INLINE F derivative(F x) {
    F distribution, bell;
    normal_for_type(x, distribution, bell);
    return V::fma(x * V::set1(kInverseSqrtTwoPi), bell, distribution);
  }

 private:
  static DS_INLINE void normal_for_type(F x, F& distribution, F& bell) {
    sizeof(T) == 2 ? short_normal<V>(x, distribution, bell) : normal<V>(x, distribution, bell);
  }
};

template <class V, class T>
struct Silu {
  using F = typename V::F;
  static DS_INLINE F value(F x) {
    F s, complement;
    logistic<V>(x, s, complement);
    return x * s;
  }
  static DS_INLINE F derivative(F x) {
    F s, complement;
    logistic<V>(x, s, complement);
    return V::fma(x * s, complement, s);
  }
};

template <class V, class T>
struct Arrays {
  const T* in(const void* p) const { return static_cast<const T*>(p) + begin; }
  T* out(void* p) const { return static_cast<T*>(p) + begin; }
  int64_t begin;
};

template <class V, template <class, class> class Gelu, class T>
void gelu_forward(const GeluForward& a, int64_t begin, int64_t end) {
  const Arrays<V, T> at{begin};
  const T* x = at.in(a.x);
  T* y = at.out(a.y);
  for_lanes<V>(end - begin,
               [&](int64_t i, auto part) { store<V>(y + i, Gelu<V, T>::value(load<V>(x + i, part)), part); });
}

template <class V, template <class, class> class Gelu, class T>
void gelu_backward(const GeluBackward& a, int64_t begin, int64_t end) {
  const Arrays<V, T> at{begin};
  const T *x = at.in(a.x), *dy = at.in(a.dy);
  T* dx = at.out(a.dx);
  for_lanes<V>(end - begin, [&](int64_t i, auto part) {
    store<V>(dx + i, load<V>(dy + i, part) * Gelu<V, T>::derivative(load<V>(x + i, part)), part);
  });
}

template <class V, template <class, class> class Act, class T>
void gated_forward(const GatedForward& a, int64_t begin, int64_t end) {
  const Arrays<V, T> at{begin};
  const T *gate = at.in(a.gate), *up = at.in(a.up);
  T* y = at.out(a.y);
  for_lanes<V>(end - begin, [&](int64_t i, auto part) {
    store<V>(y + i, Act<V, T>::value(load<V>(gate + i, part)) * load<V>(up + i, part), part);
  });
}

template <class V, template <class, class> class Act, class T>
void gated_backward(const GatedBackward& a, int64_t begin, int64_t end) {
  using F = typename V::F;
  const Arrays<V, T> at{begin};
  const T *gate = at.in(a.gate), *up = at.in(a.up), *dy = at.in(a.dy);
  T* dgate = a.dgate ? at.out(a.dgate) : nullptr;
  T* dup = a.dup ? at.out(a.dup) : nullptr;
  for_lanes<V>(end - begin, [&](int64_t i, auto part) {
    const F g = load<V>(gate + i, part), d = load<V>(dy + i, part);
    if (dgate) store<V>(dgate + i, d * load<V>(up + i, part) * Act<V, T>::derivative(g), part);
    if (dup) store<V>(dup + i, d * Act<V, T>::value(g), part);
  });
}

template <class V>
void gelu_of(const GeluForward& a, int64_t begin, int64_t end) {
  with_element(a.element, [&]<class T>(T*) {
    a.tanh ? gelu_forward<V, GeluTanh, T>(a, begin, end) : gelu_forward<V, GeluErf, T>(a, begin, end);
  });
}
template <class V>
void gelu_backward_of(const GeluBackward& a, int64_t begin, int64_t end) {
  with_element(a.element, [&]<class T>(T*) {
    a.tanh ? gelu_backward<V, GeluTanh, T>(a, begin, end) : gelu_backward<V, GeluErf, T>(a, begin, end);
  });
}
template <class V>
void gated_of(const GatedForward& a, int64_t begin, int64_t end) {
  with_element(a.element, [&]<class T>(T*) {
    a.kind == Gate::kSilu ? gated_forward<V, Silu, T>(a, begin, end)
                          : gated_forward<V, GeluTanh, T>(a, begin, end);
  });
}
template <class V>
void gated_backward_of(const GatedBackward& a, int64_t begin, int64_t end) {
  with_element(a.element, [&]<class T>(T*) {
    a.kind == Gate::kSilu ? gated_backward<V, Silu, T>(a, begin, end)
                          : gated_backward<V, GeluTanh, T>(a, begin, end);
  });
}

template <class V>
constexpr ActivationKernels activation_kernels_of() {
  return {gelu_of<V>, gelu_backward_of<V>, gated_of<V>, gated_backward_of<V>};
}

}  // namespace
}  // namespace deepspeed::ops::cpu
