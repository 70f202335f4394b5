#include "deepspeed/ops/cpu/bf16_product_kernel.h"

#include <immintrin.h>

namespace deepspeed::ops::cpu {
namespace {

constexpr int64_t kTile = kAmxSide * kAmxDepth;  // elements of a bf16 tile

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Tiles 0-3 are sums, 4 and 5 rows of a, 6 and 7 columns of b. `upper` and `lower` are the rows of tiles 4
// and 5.
void configure(int64_t upper, int64_t lower) {
  TileConfig config;
  for (int t = 0; t < 8; ++t) {
    const int64_t rows[8] = {upper, upper, lower, lower, upper, lower, 16, 16};
    config.rows[t] = static_cast<uint8_t>(rows[t] > 0 ? rows[t] : 1);
    config.row_bytes[t] = 64;
  }
  _tile_loadconfig(&config);
}

void copy_columns(const float* from, float* to, int64_t to_stride, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) to[i * to_stride + j] = from[i * kAmxSide + j];
}

struct Strip {
  int64_t upper, lower;  // rows of the two tiles; lower may be 0
};

// Up to 32 rows of a (from `row` on) times 32 columns; the second half of either may be absent.
void multiply(const Bf16Product& p, int64_t row, int64_t column, Strip strip) {
  const uint16_t* a0 = p.a + row * p.a_stride;
  const uint16_t* a1 = strip.lower > 0 ? a0 + kAmxSide * p.a_stride : a0;
  const uint16_t* b0 = p.packed_b + column * p.k;
  const bool right = column + kAmxSide < p.n;
  const uint16_t* b1 = right ? b0 + kAmxSide * p.k : b0;
  const int64_t a_bytes = p.a_stride * 2;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t k = 0; k < p.k; k += kAmxDepth) {
    _tile_loadd(4, a0 + k, a_bytes);
    _tile_loadd(6, b0 + k * kAmxSide, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b1 + k * kAmxSide, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a1 + k, a_bytes);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  float* out = p.out + row * p.out_stride + column;
  const int64_t stride = p.out_stride * 4;
  if (column + 2 * kAmxSide <= p.n && strip.lower > 0) {
    _tile_stored(0, out, stride);
    _tile_stored(1, out + kAmxSide, stride);
    _tile_stored(2, out + kAmxSide * p.out_stride, stride);
    _tile_stored(3, out + kAmxSide * p.out_stride + kAmxSide, stride);
    return;
  }
  alignas(64) float tiles[4][kAmxSide * kAmxSide];
  _tile_stored(0, tiles[0], 64);
  _tile_stored(1, tiles[1], 64);
  _tile_stored(2, tiles[2], 64);
  _tile_stored(3, tiles[3], 64);
  const int64_t rest = p.n - column, first = rest < kAmxSide ? rest : kAmxSide;
  const int64_t second = rest - first < kAmxSide ? rest - first : kAmxSide;
  copy_columns(tiles[0], out, p.out_stride, strip.upper, first);
  copy_columns(tiles[1], out + kAmxSide, p.out_stride, strip.upper, second);
  copy_columns(tiles[2], out + kAmxSide * p.out_stride, p.out_stride, strip.lower, first);
  copy_columns(tiles[3], out + kAmxSide * p.out_stride + kAmxSide, p.out_stride, strip.lower, second);
}

}  // namespace

void pack_bf16_amx(const uint16_t* b, int64_t b_stride, int64_t n, int64_t k, uint16_t* packed) {
  for (int64_t column = 0; column < n; column += kAmxSide)
    for (int64_t depth = 0; depth < k; depth += kAmxDepth, packed += kTile)
      for (int64_t j = 0; j < kAmxSide; ++j)
        for (int64_t pair = 0; pair < kAmxDepth / 2; ++pair) {
          uint32_t value = 0;
          if (column + j < n) __builtin_memcpy(&value, b + (column + j) * b_stride + depth + 2 * pair, 4);
          __builtin_memcpy(packed + (pair * kAmxSide + j) * 2, &value, 4);
        }
}

void bf16_product_amx(const Bf16Product& args, int64_t begin, int64_t end) {
  int64_t configured = -1;
  for (int64_t row = begin; row < end; row += 2 * kAmxSide) {
    const int64_t rows = end - row < 2 * kAmxSide ? end - row : 2 * kAmxSide;
    const int64_t upper = rows < kAmxSide ? rows : kAmxSide;
    const Strip strip{upper, rows - upper};
    if (rows != configured) configure(strip.upper, strip.lower);
    configured = rows;
    for (int64_t column = 0; column < args.n; column += 2 * kAmxSide) multiply(args, row, column, strip);
  }
  _tile_release();
}

}  // namespace deepspeed::ops::cpu
