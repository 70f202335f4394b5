// exp, the logistic function and the normal distribution on vectors. Coefficients are minimax fits made for
// these files.
#pragma once

#include "deepspeed/ops/cpu/simd_common.h"

namespace deepspeed::ops::cpu {
namespace {

// (exp(r) - 1 - r) / r^2 on [-ln2/2, ln2/2]: exp(r) to 3e-9.
constexpr float kExpPoly[5] = {0.49999993f, 0.16666521f, 0.04166839f, 0.00836872f, 0.00138146f};

// exp(z^2) erfc(z) / 2t with t = 1 / (1 + 0.4 z), z in [0, 11], as a polynomial in t: relative error 2e-9.
constexpr float kErfcxPoly[11] = {0.5f * 0.225683257f, 0.5f * 0.225493387f,  0.5f * 0.209543303f,
                                  0.5f * 0.160180092f, 0.5f * 0.162488207f,  0.5f * -0.023581993f,
                                  0.5f * 0.130444124f, 0.5f * -0.055711321f, 0.5f * -0.101983786f,
                                  0.5f * 0.087478332f, 0.5f * -0.020033592f};

// For results of 16 bits, of which fp16 keeps 5e-4. 2^f on [-1/2, 1/2]: relative error 3e-6.
constexpr float kShortExp2Poly[5] = {0.99999926f, 0.69312181f, 0.24024745f, 0.05591786f, 0.00957010f};
// (1 - Phi(z)) exp(z^2/2) / t with t = 1 / (1 + 0.32 z), z in [0, 15]: relative error 1.1e-5.
constexpr float kShortTailPoly[6] = {0.12765517f, 0.12719034f, 0.12165457f,
                                     0.05212339f, 0.13746132f, -0.06608995f};

template <class V, int kTerms>
DS_INLINE typename V::F polynomial(const float (&coefficients)[kTerms], typename V::F x) {
  typename V::F y = V::set1(coefficients[kTerms - 1]);
  for (int k = kTerms - 2; k >= 0; --k) y = V::fma(y, x, V::set1(coefficients[k]));
  return y;
}

/// e^x within 2 ulp, for x in [-113, 89] and NaN.
template <class V>
DS_INLINE typename V::F exp_within(typename V::F x) {
  const typename V::F n = V::round(x * V::set1(1.44269504f));
  // ln 2 in two parts; n times the first is exact, with or without a fused multiply-add.
  typename V::F r = V::fma(n, V::set1(-0.693359375f), x);
  r = V::fma(n, V::set1(2.12194440e-4f), r);
  const typename V::F y = V::fma(r * r, polynomial<V>(kExpPoly, r), r) + V::set1(1.0f);
  return V::scale(y, n);
}

/// e^x within 2 ulp; 0 and infinity beyond the range of float, NaN for NaN.
template <class V>
DS_INLINE typename V::F exp(typename V::F x) {
  // x comes second, so that a NaN stays.
  return exp_within<V>(V::max(V::set1(-105.0f), V::min(V::set1(89.0f), x)));
}

/// 1 / (1 + e^-x) and its complement, neither by subtraction.
template <class V>
DS_INLINE void logistic(typename V::F x, typename V::F& value, typename V::F& complement) {
  const typename V::F e = exp_within<V>(V::max(V::set1(-105.0f), V::set1(0.0f) - V::abs(x)));
  const typename V::F large = V::reciprocal(V::set1(1.0f) + e), small = e * large;
  value = V::where_negative(x, small, large);
  complement = V::where_negative(x, large, small);
}

/// The distribution function of the standard normal and exp(-x^2/2), without cancellation in either tail.
template <class V>
DS_INLINE void normal(typename V::F x, typename V::F& distribution, typename V::F& bell) {
  // Beyond 15 both tails are 0, and the bound keeps infinity out of what follows.
  const typename V::F z = V::min(V::set1(15.0f), V::abs(x));
  const typename V::F square = z * z, rest = V::fma(z, z, V::set1(0.0f) - square);
  const typename V::F e = exp_within<V>(square * V::set1(-0.5f));
  bell = V::fma(e * V::set1(-0.5f), rest, e);
  const typename V::F t = V::reciprocal(V::fma(z, V::set1(0.4f * 0.70710678f), V::set1(1.0f)));
  const typename V::F tail = t * polynomial<V>(kErfcxPoly, t) * bell;
  distribution = V::where_negative(x, tail, V::set1(1.0f) - tail);
}

/// The same to 2e-5, in relation to each, for results that will be rounded to 16 bits.
template <class V>
DS_INLINE void short_normal(typename V::F x, typename V::F& distribution, typename V::F& bell) {
  const typename V::F z = V::min(V::set1(15.0f), V::abs(x));
  const typename V::F power = z * z * V::set1(-0.5f * 1.44269504f), n = V::round(power);
  bell = V::scale(polynomial<V>(kShortExp2Poly, power - n), n);
  const typename V::F t = V::reciprocal(V::fma(z, V::set1(0.32f), V::set1(1.0f)));
  const typename V::F tail = t * polynomial<V>(kShortTailPoly, t) * bell;
  distribution = V::where_negative(x, tail, V::set1(1.0f) - tail);
}

}  // namespace
}  // namespace deepspeed::ops::cpu
