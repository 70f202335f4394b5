// exp, the logistic function and the normal distribution on vectors. Coefficients are minimax fits made for
// these files.
#pragma once

#include "deepspeed/ops/cpu/simd_common.h"

namespace deepspeed::ops::cpu {
namespace {

// (exp(r) - 1 - r) / r^2 on [-ln2/2, ln2/2]: exp(r) to 3e-9.
constexpr float kExpPoly[5] = {0.49999993f, 0.16666521f, 0.04166839f, 0.00836872f, 0.00138146f};

// exp(z^2) erfc(z) / t with t = 1 / (1 + 0.4 z), z in [0, 11], as a polynomial in t: relative error 2e-9.
constexpr float kErfcxPoly[11] = {0.225683257f,  0.225493387f,  0.209543303f, 0.160180092f,
                                  0.162488207f,  -0.023581993f, 0.130444124f, -0.055711321f,
                                  -0.101983786f, 0.087478332f,  -0.020033592f};

template <class V, int kTerms>
DS_INLINE typename V::F polynomial(const float (&coefficients)[kTerms], typename V::F x) {
  typename V::F y = V::set1(coefficients[kTerms - 1]);
  for (int k = kTerms - 2; k >= 0; --k) y = V::fma(y, x, V::set1(coefficients[k]));
  return y;
}

/// e^x within 2 ulp; 0 and infinity beyond the range of float, NaN for NaN.
template <class V>
DS_INLINE typename V::F exp(typename V::F x) {
  // x comes second, so that a NaN stays.
  x = V::max(V::set1(-105.0f), V::min(V::set1(89.0f), x));
  const typename V::F n = V::round(x * V::set1(1.44269504f));
  // ln 2 in two parts; n times the first is exact, with or without a fused multiply-add.
  typename V::F r = V::fma(n, V::set1(-0.693359375f), x);
  r = V::fma(n, V::set1(2.12194440e-4f), r);
  const typename V::F y = V::fma(r * r, polynomial<V>(kExpPoly, r), r) + V::set1(1.0f);
  return V::scale(y, n);
}

/// 1 / (1 + e^-x) and its complement, neither by subtraction.
template <class V>
DS_INLINE void logistic(typename V::F x, typename V::F& value, typename V::F& complement) {
  const typename V::F e = exp<V>(V::set1(0.0f) - V::abs(x));
  const typename V::F large = V::set1(1.0f) / (V::set1(1.0f) + e), small = e * large;
  value = V::where_negative(x, small, large);
  complement = V::where_negative(x, large, small);
}

/// The distribution function of the standard normal and exp(-x^2/2), without cancellation in either tail.
template <class V>
DS_INLINE void normal(typename V::F x, typename V::F& distribution, typename V::F& bell) {
  // Beyond 15 both tails are 0, and the bound keeps infinity out of what follows.
  const typename V::F z = V::min(V::set1(15.0f), V::abs(x));
  const typename V::F square = z * z, rest = V::fma(z, z, V::set1(0.0f) - square);
  const typename V::F e = exp<V>(square * V::set1(-0.5f));
  bell = V::fma(e * V::set1(-0.5f), rest, e);
  const typename V::F t = V::set1(1.0f) / V::fma(z, V::set1(0.4f * 0.70710678f), V::set1(1.0f));
  const typename V::F tail = V::set1(0.5f) * t * polynomial<V>(kErfcxPoly, t) * bell;
  distribution = V::where_negative(x, tail, V::set1(1.0f) - tail);
}

}  // namespace
}  // namespace deepspeed::ops::cpu
