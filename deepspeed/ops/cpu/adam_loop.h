// The loop that every adam_*.cpp instantiates with its own vector type V, which offers
//   kWidth, Reg, set(float), load/store (fp32), load_bf16/load_fp16, store_bf16/store_fp16,
//   mul, div, sqrt, fma(a,b,c) = a*b+c
// V must live in an anonymous namespace: the same template compiled for two instruction sets may not share a
// symbol.
#pragma once

#include <cstring>

#include "deepspeed/ops/cpu/adam_kernel.h"

namespace deepspeed::ops::cpu {

template <class V, AdamFormat kGrad>
inline typename V::Reg load_grad(const void* grad, int64_t i) {
  if constexpr (kGrad == AdamFormat::kFp32) return V::load(static_cast<const float*>(grad) + i);
  if constexpr (kGrad == AdamFormat::kBf16) return V::load_bf16(static_cast<const uint16_t*>(grad) + i);
  if constexpr (kGrad == AdamFormat::kFp16) return V::load_fp16(static_cast<const uint16_t*>(grad) + i);
}

template <class V>
struct AdamRegisters {
  typename V::Reg grad_scale, l2, beta1, one_minus_beta1, beta2, one_minus_beta2, inverse_sqrt_bc2, eps, keep,
      step_size;
  explicit AdamRegisters(const AdamConstants& c)
      : grad_scale(V::set(c.grad_scale)),
        l2(V::set(c.l2)),
        beta1(V::set(c.beta1)),
        one_minus_beta1(V::set(c.one_minus_beta1)),
        beta2(V::set(c.beta2)),
        one_minus_beta2(V::set(c.one_minus_beta2)),
        inverse_sqrt_bc2(V::set(c.inverse_sqrt_bc2)),
        eps(V::set(c.eps)),
        keep(V::set(c.keep)),
        step_size(V::set(-c.step_size)) {}
};

/// The hardware's own prefetching stops at every 4 KB page, which costs a seventh of the bandwidth on seven
/// streams.
template <class V>
inline void prefetch_ahead(const void* p) {
  constexpr intptr_t kBytesAhead = 2048;
  // As a number: the last elements' distance ends outside the buffer, where a pointer may not, but a prefetch
  // may.
  if constexpr (V::kWidth > 1)
    __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<intptr_t>(p) + kBytesAhead));
}

/// kWidth elements from index i of every buffer.
template <class V, AdamFormat kGrad, AdamFormat kCopy>
inline void adam_block(const AdamBuffers& b, int64_t i, const AdamRegisters<V>& c) {
  constexpr size_t kGradSize = kGrad == AdamFormat::kFp32 ? 4 : 2;
  prefetch_ahead<V>(b.param + i);
  prefetch_ahead<V>(b.exp_avg + i);
  prefetch_ahead<V>(b.exp_avg_sq + i);
  prefetch_ahead<V>(static_cast<const char*>(b.grad) + i * kGradSize);
  auto p = V::load(b.param + i);
  auto g = V::fma(c.l2, p, V::mul(load_grad<V, kGrad>(b.grad, i), c.grad_scale));
  auto m = V::fma(c.beta1, V::load(b.exp_avg + i), V::mul(c.one_minus_beta1, g));
  auto v = V::fma(c.beta2, V::load(b.exp_avg_sq + i), V::mul(V::mul(c.one_minus_beta2, g), g));
  auto denominator = V::fma(V::sqrt(v), c.inverse_sqrt_bc2, c.eps);
  p = V::fma(c.step_size, V::div(m, denominator), V::mul(p, c.keep));
  V::store(b.exp_avg + i, m);
  V::store(b.exp_avg_sq + i, v);
  V::store(b.param + i, p);
  if constexpr (kCopy == AdamFormat::kBf16)
    V::store_bf16(static_cast<uint16_t*>(b.low_precision_copy) + i, p);
  if constexpr (kCopy == AdamFormat::kFp16)
    V::store_fp16(static_cast<uint16_t*>(b.low_precision_copy) + i, p);
}

/// The last n < kWidth elements go through the same instructions in padded copies, so that an element's bits
/// do not depend on where it stands.
template <class V, AdamFormat kGrad, AdamFormat kCopy>
void adam_tail(const AdamBuffers& b, int64_t i, int64_t n, const AdamRegisters<V>& c) {
  constexpr size_t kGradSize = kGrad == AdamFormat::kFp32 ? 4 : 2;
  alignas(64) float p[V::kWidth] = {}, m[V::kWidth] = {}, v[V::kWidth] = {}, g[V::kWidth] = {};
  alignas(64) uint16_t copy[V::kWidth] = {};
  std::memcpy(p, b.param + i, n * 4);
  std::memcpy(m, b.exp_avg + i, n * 4);
  std::memcpy(v, b.exp_avg_sq + i, n * 4);
  std::memcpy(g, static_cast<const char*>(b.grad) + i * kGradSize, n * kGradSize);
  adam_block<V, kGrad, kCopy>({p, g, m, v, copy, kGrad, kCopy}, 0, c);
  std::memcpy(b.param + i, p, n * 4);
  std::memcpy(b.exp_avg + i, m, n * 4);
  std::memcpy(b.exp_avg_sq + i, v, n * 4);
  if constexpr (kCopy != AdamFormat::kNone)
    std::memcpy(static_cast<uint16_t*>(b.low_precision_copy) + i, copy, n * 2);
}

template <class V, AdamFormat kGrad, AdamFormat kCopy>
void adam_range(const AdamBuffers& b, int64_t begin, int64_t end, const AdamConstants& constants) {
  const AdamRegisters<V> c(constants);
  int64_t i = begin;
  for (; i + V::kWidth <= end; i += V::kWidth) adam_block<V, kGrad, kCopy>(b, i, c);
  if (i < end) adam_tail<V, kGrad, kCopy>(b, i, end - i, c);
}

template <class V, AdamFormat kGrad>
void adam_with_copy(const AdamBuffers& b, int64_t begin, int64_t end, const AdamConstants& c) {
  switch (b.copy_format) {
    case AdamFormat::kBf16:
      return adam_range<V, kGrad, AdamFormat::kBf16>(b, begin, end, c);
    case AdamFormat::kFp16:
      return adam_range<V, kGrad, AdamFormat::kFp16>(b, begin, end, c);
    default:
      return adam_range<V, kGrad, AdamFormat::kNone>(b, begin, end, c);
  }
}

template <class V>
void adam_loop(const AdamBuffers& b, int64_t begin, int64_t end, const AdamConstants& c) {
  switch (b.grad_format) {
    case AdamFormat::kBf16:
      return adam_with_copy<V, AdamFormat::kBf16>(b, begin, end, c);
    case AdamFormat::kFp16:
      return adam_with_copy<V, AdamFormat::kFp16>(b, begin, end, c);
    default:
      return adam_with_copy<V, AdamFormat::kFp32>(b, begin, end, c);
  }
}

}  // namespace deepspeed::ops::cpu
