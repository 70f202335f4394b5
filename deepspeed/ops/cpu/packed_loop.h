// The body of packed_{scalar,avx2,avx512,avx512bf16,avx512vnni,avx512vbmi}.cpp.
//
// Quantized weights are multiplied as integers: x is coded in fixed point, group by group, so that the sums
// of a group's products are exact and alike on all instruction sets. A kernel's I has beside the lanes of V:
//   W                     16 columns times a quad of bytes without sign
//   Sum                   16 int32 sums, in parts; both of X of 16 bits and of 8
//   kWords[wide]          words of 32 bits that a quad of X takes
//   code<wide>            those words, of whole numbers, and their sum
//   dot<wide>             sum += the products of a W and a quad of X
//   total<wide>           16 int32
//   lookup                the bytes of a table of 64
#pragma once

#include "deepspeed/ops/cpu/packed_float_loop.h"

namespace deepspeed::ops::cpu {
namespace {

constexpr float kLeastStep = 0x1p-100f;  // a group of smaller numbers is taken as zeros

struct Fp6Bytes {
  alignas(64) uint8_t low[64], high[64];
};
constexpr Fp6Bytes make_fp6_bytes() {
  Fp6Bytes bytes{};
  for (int code = 0; code < 64; ++code) {
    const int32_t value = fp6_sixteenths(code) + 448;
    bytes.low[code] = static_cast<uint8_t>(value & 255);
    bytes.high[code] = static_cast<uint8_t>(value >> 8);
  }
  return bytes;
}
constexpr Fp6Bytes kFp6Bytes = make_fp6_bytes();

template <class I>
constexpr int64_t words_a_row(const PackedFormat& f) {
  return f.padded_in() / 4 * I::kWords[f.scheme != PackedScheme::kInt8Dynamic];
}

DS_INLINE float widened(const float* x) { return *x; }
DS_INLINE float widened(const uint16_t* x) { return bf16_to_float(*x); }

/// The largest |x|, NaN where one is.
template <class V, class T>
DS_INLINE float largest_of(const T* x, int64_t n) {
  using F = typename V::F;
  F most = V::set1(0), finite = V::set1(0);
  for_lanes<V>(n, [&](int64_t i, auto part) {
    const F v = load<V>(x + i, part);
    most = V::max(most, V::abs(v));
    finite = finite + v * V::set1(0);
  });
  return V::largest(most) + V::sum(finite);
}

/// I::code for those that have a code_quad. `count` is a multiple of 32.
template <class I, bool kWide>
DS_INLINE int32_t code_quads(const float* numbers, int64_t count, int32_t* words) {
  int32_t sum = 0;
  for (int64_t i = 0; i < count; i += 4, words += I::kWords[kWide]) {
    int32_t quad[4];
    for (int j = 0; j < 4; ++j) sum += quad[j] = static_cast<int32_t>(numbers[i + j]);
    I::code_quad(quad, words);
  }
  return sum;
}

template <class I, class V, bool kWide, class T>
void code_row(const PackedFormat& f, const T* x, int32_t* words, float* scales, int32_t* sums) {
  constexpr float kMost = kWide ? 32512 : 127;
  const float unit = f.scheme == PackedScheme::kFp6 ? 1.0f / 16 : 1;
  const int64_t group = f.x_group();
  for (int64_t g = 0; g < f.x_groups(); ++g) {
    const int64_t first = g * group, count = min64(group, f.in - first);
    const float most = largest_of<V>(x + first, count);
    const float scale = most > kLeastStep ? most / kMost : most - most;  // NaN stays
    const float inverse = most > kLeastStep && most < __builtin_inff() ? kMost / most : 0;
    int32_t sum = 0;
    // What lies beyond `in` up to the padding belongs to the last group.
    const int64_t end = g + 1 == f.x_groups() ? f.padded_in() : first + group;
    alignas(64) float scaled[128];
    for (int64_t k = first; k < end; k += 128) {
      const int64_t block = min64(128, end - k), there = min64(block, f.in - k);
      for (int64_t i = max64(there, 0); i < block; ++i) scaled[i] = 0;
      if (there > 0)
        for_lanes<V>(there, [&](int64_t i, auto part) {
          const auto v = inverse > 0 ? load<V>(x + k + i, part) * V::set1(inverse) : V::set1(0);
          store<V>(scaled + i, V::round(v), part);
        });
      sum += I::template code<kWide>(scaled, block, words);
      words += block / 4 * I::kWords[kWide];
    }
    scales[g] = scale * unit;
    sums[g] = static_cast<int32_t>(static_cast<uint32_t>(sum) * static_cast<uint32_t>(f.offset()));
  }
}

template <class I, class V>
void code_rows(const PackedFormat& f, Element element, const void* x, int64_t stride, const CodedRows& rows,
               int64_t begin, int64_t end) {
  const auto all = [&]<class T>(const T* from) {
    for (int64_t row = begin; row < end; ++row) {
      int32_t* words = rows.words + row * words_a_row<I>(f);
      float* scales = rows.scales + row * f.x_groups();
      int32_t* sums = rows.sums + row * f.x_groups();
      f.scheme == PackedScheme::kInt8Dynamic
          ? code_row<I, V, false>(f, from + row * stride, words, scales, sums)
          : code_row<I, V, true>(f, from + row * stride, words, scales, sums);
    }
  };
  element == Element::kFp32 ? all(static_cast<const float*>(x)) : all(static_cast<const uint16_t*>(x));
}

template <class I, int kRows>
struct Sums {
  typename I::Sum low[kRows], high[kRows];  // high: of a weight's second byte
};

// The products of quads [0, 8) of a block of 32 numbers, or of one quad.
template <class I, PackedScheme kScheme, int kRows>
struct Block {
  static constexpr bool kWide = kScheme != PackedScheme::kInt8Dynamic;
  static constexpr int kWords = I::kWords[kWide];
  using W = typename I::W;

  static DS_INLINE void quad(typename I::Sum* sum, W w, const int32_t* const* x, int64_t at) {
    for (int r = 0; r < kRows; ++r) I::template dot<kWide>(sum[r], w, x[r] + at * kWords);
  }

  /// The 32 numbers from quad `at` on.
  static DS_INLINE void run(Sums<I, kRows>& sums, const uint8_t* panel, const int32_t* const* x, int64_t at) {
    if constexpr (kScheme == PackedScheme::kInt8 || kScheme == PackedScheme::kInt8Dynamic) {
      for (int q = 0; q < 8; ++q) {
        ask_for(panel + (at + q) * 64);
        quad(sums.low, I::bytes(panel + (at + q) * 64), x, at + q);
      }
    } else if constexpr (kScheme == PackedScheme::kInt4) {
      const uint8_t* from = panel + at / 8 * 256;
      for (int j = 0; j < 4; ++j) {
        ask_for(from + 64 * j);
        const W both = I::bytes(from + 64 * j);
        quad(sums.low, I::template bits<0, 15>(both), x, at + 2 * j);
        quad(sums.low, I::template bits<4, 15>(both), x, at + 2 * j + 1);
      }
    } else {
      const uint8_t* from = panel + at / 8 * 384;
      for (int line = 0; line < 6; ++line) ask_for(from + 64 * line);
      halves<0>(sums, from, x, at);
      halves<1>(sums, from, x, at);
    }
  }

 private:
  template <int kHalf>
  static DS_INLINE void halves(Sums<I, kRows>& sums, const uint8_t* from, const int32_t* const* x,
                               int64_t at) {
    const W upper = I::bytes(from + 256 + 64 * kHalf);
    const W first = I::bytes(from + 128 * kHalf), second = I::bytes(from + 128 * kHalf + 64);
    const int64_t quad = at + 4 * kHalf;
    fp6(sums, I::merge(I::template bits<0, 15>(first), I::template bits_up<4, 48>(upper)), x, quad);
    fp6(sums, I::merge(I::template bits<4, 15>(first), I::template bits_up<2, 48>(upper)), x, quad + 1);
    fp6(sums, I::merge(I::template bits<0, 15>(second), I::template bits<0, 48>(upper)), x, quad + 2);
    fp6(sums, I::merge(I::template bits<4, 15>(second), I::template bits<2, 48>(upper)), x, quad + 3);
  }
  static DS_INLINE void fp6(Sums<I, kRows>& sums, W code, const int32_t* const* x, int64_t at) {
    quad(sums.low, I::lookup(kFp6Bytes.low, code), x, at);
    quad(sums.high, I::lookup(kFp6Bytes.high, code), x, at);
  }
};

/// One panel: 16 sums a row, to sums[row * 32].
template <class I, class V, PackedScheme kScheme, int kRows>
void int_panel(const PackedProduct& p, int64_t row, int64_t panel, float* sums_out) {
  using F = typename V::F;
  constexpr bool kWide = kScheme != PackedScheme::kInt8Dynamic;
  constexpr int kVectors = kPanelVectors<V>;
  const PackedFormat& f = p.format;
  const uint8_t* codes = p.codes + panel * f.panel_bytes();
  const uint16_t* scales = p.scales + panel * f.panel_scales();
  const int64_t group_scales = f.group_scales();
  const float unit = 1 / static_cast<float>(f.offset());  // of sums: a power of two where there are shifts
  const int64_t x_groups = f.x_groups(), blocks = (f.in + 31) / 32, step = f.x_group() / 32;
  const int32_t* x[kRows];
  for (int r = 0; r < kRows; ++r) x[r] = p.coded.words + (row + r) * words_a_row<I>(f);
  F y[kRows][kVectors];
  float x_sums[kRows] = {};  // of x, where a shift stands for the whole row
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) y[r][v] = V::set1(0);
  for (int64_t g = 0; g < x_groups; ++g) {
    Sums<I, kRows> sums{};
    const int64_t last = min64(blocks, (g + 1) * step);
    for (int64_t block = g * step; block < last; ++block)
      Block<I, kScheme, kRows>::run(sums, codes, x, block * 8);
    for (int r = 0; r < kRows; ++r) {
      const int64_t at = (row + r) * x_groups + g;
      F total[kVectors];
      I::template total<kWide>(sums.low[r], sums.high[r], kScheme == PackedScheme::kFp6, p.coded.sums[at],
                               total);
      const F x_scale = V::set1(p.coded.scales[at]);
      const uint16_t* own = scales + g * group_scales;
      for (int v = 0; v < kVectors; ++v)
        y[r][v] = V::fma(total[v], f.group > 0 ? x_scale * V::load(own + v * V::kWidth) : x_scale, y[r][v]);
      if (!f.asymmetric) continue;
      const float x_sum = p.coded.scales[at] * (static_cast<float>(p.coded.sums[at]) * unit);
      if (f.group == 0)
        x_sums[r] += x_sum;
      else
        for (int v = 0; v < kVectors; ++v)
          y[r][v] = V::fma(V::load(own + kPanel + v * V::kWidth), V::set1(x_sum), y[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) {
      if (f.group == 0) y[r][v] = y[r][v] * V::load(scales + v * V::kWidth);
      if (f.group == 0 && f.asymmetric)
        y[r][v] = V::fma(V::load(scales + kPanel + v * V::kWidth), V::set1(x_sums[r]), y[r][v]);
      V::store(sums_out + r * 2 * kPanel + v * V::kWidth, y[r][v]);
    }
}

template <class I, class V, PackedScheme kScheme>
struct IntRows {
  const PackedProduct& p;
  int64_t pair;
  template <int kRows>
  void run(int64_t row) const {
    alignas(64) float sums[kRows * 2 * kPanel];
    int_panel<I, V, kScheme, kRows>(p, row, 2 * pair, sums);
    int_panel<I, V, kScheme, kRows>(p, row, 2 * pair + 1, sums + kPanel);
    finish<V>(p, row, kRows, pair, sums);
  }
};

template <class I, class V, PackedScheme kScheme>
void int_multiply(const PackedProduct& p, int64_t begin, int64_t end, int64_t row_begin, int64_t row_end) {
  constexpr int kKind = kScheme == PackedScheme::kInt8Dynamic ? 0 : kScheme == PackedScheme::kFp6 ? 2 : 1;
  for (int64_t pair = begin; pair < end; ++pair)
    RowSteps<IntRows<I, V, kScheme>, I::kRows[kKind]>::all({p, pair}, row_begin, row_end);
}

/// `rows` rows, at most a vector's width, side by side: to[k * rows + r].
template <class V, bool kRound, class T>
void interleave(const T* from, int64_t stride, int64_t rows, int64_t in, float* to) {
  const auto rounded_if = [](auto v) {
    if constexpr (kRound) return rounded<V, uint16_t>(v);
    return v;
  };
  for_lanes<V>(in, [&](int64_t k, auto part) {
    typename V::F v[V::kWidth];
    for (int64_t r = 0; r < V::kWidth; ++r)
      v[r] = r < rows ? rounded_if(load<V>(from + r * stride + k, part)) : V::set1(0);
    V::transpose(v);
    const int64_t columns = min64(V::kWidth, in - k);
    // A whole vector's store reaches into what the next ones write.
    for (int64_t i = 0; i < columns; ++i) {
      float* at = to + (k + i) * rows;
      if ((in - k - i) * rows >= V::kWidth)
        store<V>(at, v[i], Whole{});
      else
        store<V>(at, v[i], First{rows});
    }
  });
}

template <class V>
void widen_rows(Element element, const void* x, int64_t x_stride, int64_t rows, int64_t in, bool round,
                float* out, int64_t width, int64_t begin, int64_t end) {
  static_assert(V::kFloatRows <= V::kWidth);
  const auto all = [&]<class T>(const T* from) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * V::kFloatRows, count = min64(V::kFloatRows, rows - first);
      float* to = out + first * width;
      round ? interleave<V, true>(from + first * x_stride, x_stride, count, in, to)
            : interleave<V, false>(from + first * x_stride, x_stride, count, in, to);
      for (int64_t i = in * count; i < width * count; ++i) to[i] = 0;
    }
  };
  element == Element::kFp32 ? all(static_cast<const float*>(x)) : all(static_cast<const uint16_t*>(x));
}

template <class V>
void narrow_rows(Element element, const void* x, int64_t x_stride, int64_t in, uint16_t* out,
                 int64_t out_stride, int64_t begin, int64_t end) {
  const auto all = [&]<class T>(const T* from) {
    for (int64_t row = begin; row < end; ++row) {
      uint16_t* to = out + row * out_stride;
      for_lanes<V>(in, [&](int64_t i, auto part) {
        store<V>(to + i, load<V>(from + row * x_stride + i, part), part);
      });
      for (int64_t i = in; i < out_stride; ++i) to[i] = 0;
    }
  };
  element == Element::kFp32 ? all(static_cast<const float*>(x)) : all(static_cast<const uint16_t*>(x));
}

template <class I, class V>
void multiply_of(const PackedProduct& p, int64_t begin, int64_t end, int64_t row_begin, int64_t row_end) {
  using enum PackedScheme;
  switch (p.format.scheme) {
    case kFp32:
      return float_multiply<V, kFp32>(p, begin, end, row_begin, row_end);
    case kBf16:
      return float_multiply<V, kBf16>(p, begin, end, row_begin, row_end);
    case kInt8:
      return int_multiply<I, V, kInt8>(p, begin, end, row_begin, row_end);
    case kInt8Dynamic:
      return int_multiply<I, V, kInt8Dynamic>(p, begin, end, row_begin, row_end);
    case kInt4:
      return int_multiply<I, V, kInt4>(p, begin, end, row_begin, row_end);
    case kFp6:
      return int_multiply<I, V, kFp6>(p, begin, end, row_begin, row_end);
  }
}

template <class I, class V>
constexpr PackedKernels packed_kernels_of() {
  return {words_a_row<I>, code_rows<I, V>, V::kFloatRows, widen_rows<V>, narrow_rows<V>, multiply_of<I, V>};
}

}  // namespace
}  // namespace deepspeed::ops::cpu
