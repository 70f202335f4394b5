// Loops over arrays of any length with the vector types of lanes_{scalar,avx2,avx512}.h. As those, this is
// included by one source per instruction set and declares everything in an unnamed namespace.
#pragma once

#include "deepspeed/ops/cpu/element.h"
#include "deepspeed/ops/cpu/simd_common.h"

namespace deepspeed::ops::cpu {
namespace {

/// How much of a vector is meant: all of it, or its first lanes.
struct Whole {};
struct First {
  int64_t count;
};

template <class V, class T>
DS_INLINE typename V::F load(const T* p, Whole) {
  return V::load(p);
}
/// Lanes beyond the first are zero.
template <class V, class T>
DS_INLINE typename V::F load(const T* p, First part) {
  T lanes[V::kWidth] = {};
  for (int64_t i = 0; i < part.count; ++i) lanes[i] = p[i];
  return V::load(lanes);
}

template <class V, class T>
DS_INLINE void store(T* p, typename V::F x, Whole) {
  V::store(p, x);
}
template <class V, class T>
DS_INLINE void store(T* p, typename V::F x, First part) {
  T lanes[V::kWidth];
  V::store(lanes, x);
  for (int64_t i = 0; i < part.count; ++i) p[i] = lanes[i];
}

/// x with zeros beyond the lanes that are meant.
template <class V>
DS_INLINE typename V::F only(typename V::F x, Whole) {
  return x;
}
template <class V>
DS_INLINE typename V::F only(typename V::F x, First part) {
  float lanes[V::kWidth] = {};
  store<V>(lanes, x, part);
  return V::load(lanes);
}

/// body(i, part) for each vector of [0, n).
template <class V, class Body>
DS_INLINE void for_lanes(int64_t n, Body&& body) {
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) body(i, Whole{});
  if (i < n) body(i, First{n - i});
}

/// body(null pointer of the element's type).
template <class Body>
DS_INLINE void with_element(Element element, Body&& body) {
  switch (element) {
    case Element::kFp32:
      return body(static_cast<float*>(nullptr));
    case Element::kBf16:
      return body(static_cast<uint16_t*>(nullptr));
    case Element::kFp16:
      return body(static_cast<Fp16*>(nullptr));
  }
}

/// x as storing it as T and loading it again leaves it.
template <class V, class T>
DS_INLINE typename V::F rounded(typename V::F x) {
  if constexpr (sizeof(T) == sizeof(float)) return x;
  T lanes[V::kWidth];
  V::store(lanes, x);
  return V::load(lanes);
}

}  // namespace
}  // namespace deepspeed::ops::cpu
