// The one pass over memory of every optimizer's kernel. A Rule<V> is made from the kernel's constants and has
//   kStates, grad_scale, update(F& param, F grad, F* states)
// As lanes.h, this is included by one source per instruction set and declares everything in an unnamed
// namespace.
#pragma once

#include <type_traits>

#include "deepspeed/ops/cpu/lanes.h"
#include "deepspeed/ops/cpu/update_kernel.h"

namespace deepspeed::ops::cpu {
namespace {

/// The hardware's own prefetching stops at every 4 KB page, which costs a seventh of the bandwidth on seven
/// streams.
template <class V>
DS_INLINE void prefetch_ahead(const void* p, Whole) {
  constexpr intptr_t kBytesAhead = 2048;
  // As a number: the last elements' distance ends outside the buffer, where a pointer may not, but a prefetch
  // may.
  if constexpr (V::kWidth > 4)
    __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<intptr_t>(p) + kBytesAhead));
}
template <class V>
DS_INLINE void prefetch_ahead(const void*, First) {}

template <class V, class T>
DS_INLINE void write_copy(T* p, typename V::F x, bool past_caches, Whole) {
  if (past_caches)
    V::stream(p, x);
  else
    V::store(p, x);
}
template <class V, class T>
DS_INLINE void write_copy(T* p, typename V::F x, bool, First part) {
  store<V>(p, x, part);
}

/// One vector from index i, or its first lanes: an element goes through the same instructions wherever it
/// stands.
template <class V, class P, class G, class S, class Rule, class Part>
DS_INLINE void update_lanes(const UpdateBuffers& b, int64_t i, const Rule& rule, Part part) {
  P* const param = static_cast<P*>(b.param) + i;
  const G* const grad = static_cast<const G*>(b.grad) + i;
  prefetch_ahead<V>(param, part);
  prefetch_ahead<V>(grad, part);
  typename V::F states[Rule::kStates];
  for (int k = 0; k < Rule::kStates; ++k) {
    const S* const state = static_cast<const S*>(b.states[k]) + i;
    prefetch_ahead<V>(state, part);
    states[k] = load<V>(state, part);
  }
  typename V::F p = load<V>(param, part);
  rule.update(p, V::mul(load<V>(grad, part), rule.grad_scale), states);
  for (int k = 0; k < Rule::kStates; ++k) store<V>(static_cast<S*>(b.states[k]) + i, states[k], part);
  store<V>(param, p, part);
  if (!b.copy) return;
  if (b.copy_type == Element::kBf16)
    write_copy<V>(static_cast<uint16_t*>(b.copy) + i, p, b.stream_copy, part);
  else
    write_copy<V>(static_cast<Fp16*>(b.copy) + i, p, b.stream_copy, part);
}

/// Elements before the copy stands where a vector may be streamed to.
template <class V>
DS_INLINE int64_t unaligned_head(const UpdateBuffers& b, int64_t begin, int64_t end) {
  if (!b.stream_copy) return 0;
  constexpr uintptr_t kBytes = V::kWidth * 2;
  const uintptr_t beyond = reinterpret_cast<uintptr_t>(static_cast<uint16_t*>(b.copy) + begin) % kBytes;
  return beyond ? min64(static_cast<int64_t>((kBytes - beyond) / 2), end - begin) : 0;
}

/// Not inlined: it is rare, and half of the code.
template <class V, class P, class G, class S, class Rule, class Constants>
__attribute__((noinline)) void update_part(const UpdateBuffers& b, int64_t begin, int64_t count,
                                           const Constants& constants) {
  update_lanes<V, P, G, S>(b, begin, Rule(constants), First{count});
}

template <class V, class P, class G, class S, class Rule, class Constants>
void update_range(const UpdateBuffers& buffers, int64_t begin, int64_t end, const Constants& constants) {
  const Rule rule(constants);
  const UpdateBuffers b = buffers;  // a copy, which no store below can change
  const int64_t head = unaligned_head<V>(b, begin, end);
  if (head) update_part<V, P, G, S, Rule>(buffers, begin, head, constants);
  int64_t i = begin + head;
  for (; i + V::kWidth <= end; i += V::kWidth) update_lanes<V, P, G, S>(b, i, rule, Whole{});
  if (i < end) update_part<V, P, G, S, Rule>(buffers, i, end - i, constants);
  if (b.stream_copy) V::fence();
}

/// States are fp32, bf16 beside an fp32 parameter, or of the parameter's own format.
template <class V, class Rule, class Constants>
void update_loop(const UpdateBuffers& b, int64_t begin, int64_t end, const Constants& constants) {
  with_element(b.param_type, [&](auto* p) {
    using P = std::remove_pointer_t<decltype(p)>;
    using Narrow = std::conditional_t<std::is_same_v<P, float>, uint16_t, P>;
    with_element(b.grad_type, [&](auto* g) {
      using G = std::remove_pointer_t<decltype(g)>;
      if (b.state_type == Element::kFp32)
        update_range<V, P, G, float, Rule>(b, begin, end, constants);
      else
        update_range<V, P, G, Narrow, Rule>(b, begin, end, constants);
    });
  });
}

}  // namespace
}  // namespace deepspeed::ops::cpu
