// Block quantization with the vector types of lanes_*.h. In an unnamed namespace, as update_loop.h.
#pragma once

#include <limits>

#include "deepspeed/ops/cpu/block_quantize_kernel.h"
#include "deepspeed/ops/cpu/lanes.h"

namespace deepspeed::ops::cpu {
namespace {

// A step below this is taken as zero: its reciprocal stays far from overflow.
constexpr float kSmallestStep = 0x1p-100f;

template <class V>
struct IntegerLanes {
  typedef int32_t Words __attribute__((vector_size(4 * V::kWidth)));
  typedef float Floats __attribute__((vector_size(4 * V::kWidth)));
  typedef uint8_t Bytes __attribute__((vector_size(V::kWidth)));
};

/// What codes stand for: offset + (code - zero) * step.
struct Grid {
  float step, offset, zero, top;  // top: the largest code
};

template <class V>
struct BlockRange {
  typename V::F low, high;
  typename V::F check = V::set1(0.0f);  // 0 * x: NaN where an x is not finite

  template <class T>
  explicit BlockRange(const T* first) : low(V::load(first)), high(low) {}

  DS_INLINE void add(typename V::F x) {
    low = V::min(low, x);
    high = V::max(high, x);
    check = V::fma(x, V::set1(0.0f), check);
  }
  DS_INLINE bool is_finite() const { return V::sum(check) == 0; }
  DS_INLINE float largest() const { return V::largest(high); }
  DS_INLINE float smallest() const { return -V::largest(V::sub(V::set1(0.0f), low)); }
};

template <class V, int kBits>
DS_INLINE Grid grid_of(const BlockRange<V>& range, bool symmetric) {
  constexpr float kTop = (1 << kBits) - 1, kZero = 1 << (kBits - 1);
  const float high = range.largest(), low = range.smallest();
  Grid grid{.step = 0, .offset = symmetric ? 0.0f : low, .zero = symmetric ? kZero : 0.0f, .top = kTop};
  const float step = symmetric ? (high > -low ? high : -low) / (kZero - 1) : high / kTop - low / kTop;
  if (step >= kSmallestStep) grid.step = step;
  return grid;
}

// 16 bytes from kGroup elements.
template <class V, int kBits, class T>
DS_INLINE void quantize_group(const T* x, const Grid& grid, uint8_t* codes) {
  using F = typename V::F;
  using L = IntegerLanes<V>;
  // Halves of x and offset, because their difference may overflow.
  const F half = V::set1(0.5f), shift = V::set1(-0.5f * grid.offset), zero = V::set1(grid.zero);
  const F inverse = V::set1(grid.step > 0 ? 2.0f / grid.step : 0.0f);
  for (int64_t j = 0; j < kCodedGroup; j += V::kWidth) {
    typename L::Words word{};
    for (int plane = 0; plane < 8 / kBits; ++plane) {
      const F t = V::mul(V::fma(V::load(x + plane * kCodedGroup + j), half, shift), inverse);
      const F code = V::min(V::max(V::add(V::round(t), zero), V::set1(0.0f)), V::set1(grid.top));
      word |= __builtin_convertvector((typename L::Floats)code, typename L::Words) << (plane * kBits);
    }
    const auto bytes = __builtin_convertvector(word, typename L::Bytes);
    __builtin_memcpy(codes + j, &bytes, sizeof(bytes));
  }
}

template <class V, int kBits, class T>
void quantize_block(const T* x, int64_t n, bool symmetric, uint8_t* codes, float* parameters) {
  constexpr int64_t kGroup = kCodedGroup * (8 / kBits);
  const int64_t whole = round_down(n, kGroup);
  T rest[kGroup] = {};  // padded with the last element, which changes no range
  for (int64_t i = 0; i < kGroup && whole < n; ++i) rest[i] = x[min64(whole + i, n - 1)];

  BlockRange<V> range(whole > 0 ? x : rest);
  for (int64_t i = 0; i < whole; i += V::kWidth) range.add(V::load(x + i));
  for (int64_t i = 0; i < kGroup && whole < n; i += V::kWidth) range.add(V::load(rest + i));
  if (!range.is_finite()) {
    __builtin_memset(codes, 0, static_cast<size_t>(round_up(n, kGroup) / kGroup * kCodedGroup));
    parameters[0] = std::numeric_limits<float>::quiet_NaN();
    if (!symmetric) parameters[1] = parameters[0];
    return;
  }
  const Grid grid = grid_of<V, kBits>(range, symmetric);
  parameters[0] = grid.step;
  if (!symmetric) parameters[1] = grid.offset;
  for (int64_t i = 0; i < whole; i += kGroup, codes += kCodedGroup)
    quantize_group<V, kBits>(x + i, grid, codes);
  if (whole < n) quantize_group<V, kBits>(rest, grid, codes);
}

// kGroup elements from 16 bytes of every block.
template <class V, int kBits, class T>
DS_INLINE void dequantize_group(const CodedBlock* blocks, int64_t count, int64_t place, bool symmetric,
                                T* y) {
  using F = typename V::F;
  using L = IntegerLanes<V>;
  constexpr int kPlanes = 8 / kBits;
  const F zero = V::set1(symmetric ? static_cast<float>(1 << (kBits - 1)) : 0.0f);
  for (int64_t j = 0; j < kCodedGroup; j += V::kWidth) {
    F sums[kPlanes];
    for (int64_t b = 0; b < count; ++b) {
      typename L::Bytes bytes;
      __builtin_memcpy(&bytes, blocks[b].codes + place + j, sizeof(bytes));
      const auto word = __builtin_convertvector(bytes, typename L::Words);
      const F step = V::set1(blocks[b].parameters[0]);
      const F offset = V::set1(symmetric ? 0.0f : blocks[b].parameters[1]);
      for (int plane = 0; plane < kPlanes; ++plane) {
        const auto code = (word >> (plane * kBits)) & ((1 << kBits) - 1);
        const F q = V::sub((F) __builtin_convertvector(code, typename L::Floats), zero);
        sums[plane] = b == 0 ? V::fma(q, step, offset) : V::fma(q, step, V::add(sums[plane], offset));
      }
    }
    for (int plane = 0; plane < kPlanes; ++plane) V::store(y + plane * kCodedGroup + j, sums[plane]);
  }
}

template <class V, int kBits, class T>
void dequantize_block(const CodedBlock* blocks, int64_t count, int64_t n, bool symmetric, T* y) {
  constexpr int64_t kGroup = kCodedGroup * (8 / kBits);
  const int64_t whole = round_down(n, kGroup);
  int64_t place = 0;
  for (int64_t i = 0; i < whole; i += kGroup, place += kCodedGroup)
    dequantize_group<V, kBits>(blocks, count, place, symmetric, y + i);
  if (whole == n) return;
  T rest[kGroup];
  dequantize_group<V, kBits>(blocks, count, place, symmetric, rest);
  for (int64_t i = whole; i < n; ++i) y[i] = rest[i - whole];
}

// body(an integral constant of the bits).
template <int kBits>
struct Bits {};
template <class Body>
DS_INLINE void with_bits(int bits, Body&& body) {
  if (bits == 8) return body(Bits<8>{});
  if (bits == 4) return body(Bits<4>{});
  body(Bits<2>{});
}

template <class V, int kBits>
DS_INLINE void quantize_any(Bits<kBits>, const void* x, Element element, int64_t n, bool symmetric,
                            uint8_t* codes, float* parameters) {
  with_element(element, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    quantize_block<V, kBits>(static_cast<const T*>(x), n, symmetric, codes, parameters);
  });
}

template <class V, int kBits>
DS_INLINE void dequantize_any(Bits<kBits>, const CodedBlock* blocks, int64_t count, int64_t n, bool symmetric,
                              void* y, Element element) {
  with_element(element, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    dequantize_block<V, kBits>(blocks, count, n, symmetric, static_cast<T*>(y));
  });
}

template <class V>
BlockQuantizeKernels block_quantize_of() {
  return {
      [](const void* x, Element element, int64_t n, CodeFormat format, uint8_t* codes, float* parameters) {
        with_bits(format.bits, [&](auto bits) {
          quantize_any<V>(bits, x, element, n, format.symmetric, codes, parameters);
        });
      },
      [](const CodedBlock* blocks, int64_t count, int64_t n, CodeFormat format, void* y, Element element) {
        with_bits(format.bits, [&](auto bits) {
          dequantize_any<V>(bits, blocks, count, n, format.symmetric, y, element);
        });
      }};
}

}  // namespace
}  // namespace deepspeed::ops::cpu
