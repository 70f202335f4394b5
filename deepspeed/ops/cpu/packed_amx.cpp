// Products by packed weights on AMX tiles: 32 rows times a pair of panels at a time.
#include "deepspeed/ops/cpu/packed_quads_avx512.h"

namespace deepspeed::ops::cpu {
namespace {

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Tiles 0-3 are sums, 4 and 5 rows of x, 6 and 7 panels.
void configure(int64_t x_rows) {
  TileConfig config;
  for (int t = 0; t < 8; ++t) {
    config.rows[t] = static_cast<uint8_t>(t < 6 ? x_rows : 16);
    config.row_bytes[t] = 64;
  }
  _tile_loadconfig(&config);
}

/// Rows of x times both panels, over `depth` numbers, into sums [32][32] of four bytes each.
template <bool kInt8, bool kLower>
DS_INLINE void tiles(const uint8_t* x, int64_t x_bytes, const uint8_t* left, const uint8_t* right,
                     int64_t depth, void* sums) {
  const uint8_t* lower = x + 16 * x_bytes;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  const int64_t bytes = kInt8 ? depth : 2 * depth;
  for (int64_t k = 0; k < bytes; k += 64) {
    _tile_loadd(6, left + k * 16, 64);
    _tile_loadd(4, x + k, x_bytes);
    if constexpr (kInt8) _tile_dpbsud(0, 4, 6);
    if constexpr (!kInt8) _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, right + k * 16, 64);
    if constexpr (kInt8) _tile_dpbsud(1, 4, 7);
    if constexpr (!kInt8) _tile_dpbf16ps(1, 4, 7);
    if constexpr (kLower) {
      _tile_loadd(5, lower + k, x_bytes);
      if constexpr (kInt8) _tile_dpbsud(2, 5, 6);
      if constexpr (!kInt8) _tile_dpbf16ps(2, 5, 6);
      if constexpr (kInt8) _tile_dpbsud(3, 5, 7);
      if constexpr (!kInt8) _tile_dpbf16ps(3, 5, 7);
    }
  }
  auto* out = static_cast<uint32_t*>(sums);
  _tile_stored(0, out, 128);
  _tile_stored(1, out + 16, 128);
  if constexpr (kLower) {
    _tile_stored(2, out + 16 * 32, 128);
    _tile_stored(3, out + 16 * 32 + 16, 128);
  }
}

template <bool kInt8>
void tiles_of(int64_t rows, const uint8_t* x, int64_t x_bytes, const uint8_t* left, const uint8_t* right,
              int64_t depth, void* sums) {
  rows > 16 ? tiles<kInt8, true>(x, x_bytes, left, right, depth, sums)
            : tiles<kInt8, false>(x, x_bytes, left, right, depth, sums);
}

using V = PackedLanesAvx512;

// Four fp32 numbers of 16 columns, as two registers of pairs of bf16, rounded half away from zero.
DS_INLINE void store_pairs(const __m512 (&w)[4], uint8_t* out) {
  const __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000));
  for (int i = 0; i < 2; ++i) {
    const __m512i even = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(w[2 * i]), half), 16);
    const __m512i odd = _mm512_add_epi32(_mm512_castps_si512(w[2 * i + 1]), half);
    // (odd & upper) | even
    _mm512_storeu_si512(out + 64 * i, _mm512_ternarylogic_epi32(odd, upper, even, 0xEA));
  }
}

/// q scale + shift for the quads of a block of 32, q from `quad(i)`, bytes without sign.
template <class Quad>
DS_INLINE void decode_block(Quad&& quad, float offset, __m512 scale, __m512 shift, uint8_t* out) {
  shift = _mm512_fmadd_ps(_mm512_set1_ps(-offset), scale, shift);
  const __m512i byte = _mm512_set1_epi32(255);
  for (int q = 0; q < 8; ++q) {
    const __m512i bytes = quad(q);
    __m512 w[4];
    for (int j = 0; j < 4; ++j)
      w[j] = _mm512_fmadd_ps(
          _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(bytes, static_cast<unsigned>(8 * j)), byte)),
          scale, shift);
    store_pairs(w, out + q * 128);
  }
}

DS_INLINE __m512i nibbles(const uint8_t* from, int quad) {
  const __m512i both = _mm512_loadu_si512(from + quad / 2 * 64);
  return quad % 2 == 0 ? BytesAvx512::bits<0, 15>(both) : BytesAvx512::bits<4, 15>(both);
}

// An e3m2 number's bits moved to where those of fp16 are stand for it times 2^-12.
DS_INLINE void decode_fp6_block(const uint8_t* from, __m512 scale, uint8_t* out) {
  scale = _mm512_mul_ps(scale, _mm512_set1_ps(4096));
  for (int q = 0; q < 8; ++q) {
    const __m512i upper = _mm512_loadu_si512(from + 256 + q / 4 * 64);
    const __m512i two =
        _mm512_and_si512(_mm512_srli_epi16(upper, static_cast<unsigned>(q % 4 * 2)), _mm512_set1_epi8(3));
    const __m512i code = _mm512_or_si512(nibbles(from, q), _mm512_slli_epi16(two, 4));
    __m512 w[4];
    for (int j = 0; j < 4; ++j) {
      const __m512i one =
          _mm512_and_si512(_mm512_srli_epi32(code, static_cast<unsigned>(8 * j)), _mm512_set1_epi32(63));
      const __m512i half =
          _mm512_or_si512(_mm512_slli_epi32(_mm512_and_si512(one, _mm512_set1_epi32(32)), 10),
                          _mm512_slli_epi32(_mm512_and_si512(one, _mm512_set1_epi32(31)), 8));
      w[j] = _mm512_mul_ps(_mm512_cvtph_ps(_mm512_cvtepi32_epi16(half)), scale);
    }
    store_pairs(w, out + q * 128);
  }
}

/// A panel as bf16, in kBf16's order.
void decode_panel(const PackedProduct& p, int64_t panel, uint8_t* out) {
  const PackedFormat& f = p.format;
  const uint8_t* codes = p.codes + panel * f.panel_bytes();
  const uint16_t* scales = p.scales + panel * f.panel_scales();
  const int64_t last = f.groups() - 1, blocks = f.padded_in() / 32;
  for (int64_t block = 0; block < blocks; ++block, out += 1024) {
    const int64_t group = f.group == 0 ? 0 : min64(last, block * 32 / f.group);
    const uint16_t* own = scales + group * f.group_scales();
    const __m512 scale = V::load(own), shift = f.asymmetric ? V::load(own + kPanel) : V::set1(0);
    const uint8_t* from = codes + block * 64 * f.bits();
    if (f.scheme == PackedScheme::kInt4)
      decode_block([&](int q) { return nibbles(from, q); }, 8, scale, shift, out);
    else if (f.scheme == PackedScheme::kFp6)
      decode_fp6_block(from, scale, out);
    else
      decode_block([&](int q) { return _mm512_loadu_si512(from + q * 64); }, 128, scale, shift, out);
  }
}

}  // namespace

void packed_bf16_amx(const PackedProduct& p, int64_t begin, int64_t end, int64_t row_begin, int64_t row_end,
                     void* scratch) {
  const PackedFormat& f = p.format;
  configure(row_end - row_begin < 16 ? row_end - row_begin : 16);
  const int64_t depth = (f.in + 31) / 32 * 32, panel_bytes = f.padded_in() * kPanel * 2;
  alignas(64) float sums[32 * 32];
  for (int64_t pair = begin; pair < end; ++pair) {
    const uint8_t* left = p.codes + 2 * pair * panel_bytes;
    if (f.scheme != PackedScheme::kBf16) {
      auto* decoded = static_cast<uint8_t*>(scratch);
      decode_panel(p, 2 * pair, decoded);
      decode_panel(p, 2 * pair + 1, decoded + panel_bytes);
      left = decoded;
    }
    for (int64_t row = row_begin; row < row_end; row += 32) {
      const int64_t rows = min64(32, row_end - row);
      tiles_of<false>(rows, reinterpret_cast<const uint8_t*>(p.x_bf16 + row * p.x_stride), p.x_stride * 2,
                      left, left + panel_bytes, depth, sums);
      finish<V>(p, row, rows, pair, sums);
    }
  }
  _tile_release();
}

void packed_int8_amx(const PackedProduct& p, int64_t begin, int64_t end, int64_t row_begin, int64_t row_end) {
  const PackedFormat& f = p.format;
  configure(row_end - row_begin < 16 ? row_end - row_begin : 16);
  const int64_t panel_bytes = f.panel_bytes(), x_groups = f.x_groups();
  alignas(64) int32_t products[32 * 32];
  alignas(64) float sums[32 * 32];
  for (int64_t pair = begin; pair < end; ++pair) {
    const uint8_t* left = p.codes + 2 * pair * panel_bytes;
    const uint16_t* scales = p.scales + 2 * pair * f.panel_scales();
    for (int64_t row = row_begin; row < row_end; row += 32) {
      const int64_t rows = min64(32, row_end - row);
      for (int64_t g = 0; g < x_groups; ++g) {
        const int64_t first = g * f.x_group(), depth = min64(f.x_group(), f.padded_in() - first);
        tiles_of<true>(rows, p.x_bytes + row * p.x_stride + first, p.x_stride, left + first * 16,
                       left + panel_bytes + first * 16, depth, products);
        const uint16_t* own[2] = {scales + g * f.group_scales(),
                                  scales + f.panel_scales() + g * f.group_scales()};
        const __m512 w[2] = {V::load(own[0]), V::load(own[1])};
        for (int64_t r = 0; r < rows; ++r) {
          const int64_t at = (row + r) * x_groups + g;
          const __m512i minus = _mm512_set1_epi32(p.coded.sums[at]);
          const __m512 x_scale = _mm512_set1_ps(p.coded.scales[at]);
          for (int half = 0; half < 2; ++half) {
            const int64_t to = r * 32 + 16 * half;
            const __m512 total =
                _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_load_si512(products + to), minus));
            const __m512 before = g == 0 ? _mm512_setzero_ps() : _mm512_load_ps(sums + to);
            __m512 sum = _mm512_fmadd_ps(total, _mm512_mul_ps(x_scale, w[half]), before);
            if (f.asymmetric) {
              const float x_sum = static_cast<float>(p.coded.sums[at]) / static_cast<float>(f.offset());
              sum = _mm512_fmadd_ps(V::load(own[half] + kPanel), _mm512_mul_ps(x_scale, V::set1(x_sum)), sum);
            }
            _mm512_store_ps(sums + to, sum);
          }
        }
      }
      finish<V>(p, row, rows, pair, sums);
    }
  }
  _tile_release();
}

}  // namespace deepspeed::ops::cpu
