// The product of two bf16 matrices with fp32 sums and results on AMX tiles: what oneDNN does, but for its
// rounding of the result to bf16. Torch-free.
#pragma once

#include <cstdint>

namespace deepspeed::ops::cpu {

constexpr int64_t kAmxDepth = 32;  // bf16 pairs make k a multiple of this
constexpr int64_t kAmxSide = 16;   // rows and columns of a tile

/// out[m, n] = a[m, k] b[n, k]^T, all with unit stride along their last dimension; k is a multiple of
/// kAmxDepth.
struct Bf16Product {
  int64_t m, n, k;
  const uint16_t* a;
  int64_t a_stride;
  const uint16_t* packed_b;  // from pack_bf16_amx
  float* out;
  int64_t out_stride;
};

/// Elements of `packed` that pack_bf16_amx writes.
constexpr int64_t packed_bf16_size(int64_t n, int64_t k) {
  return (n + kAmxSide - 1) / kAmxSide * kAmxSide * k;
}

/// Brings b[n, k] into the order in which tiles are loaded, its rows filled up with zeros to whole tiles.
void pack_bf16_amx(const uint16_t* b, int64_t b_stride, int64_t n, int64_t k, uint16_t* packed);

/// Rows [begin, end) of the product. The caller's thread must not hold tiles of its own.
void bf16_product_amx(const Bf16Product& args, int64_t begin, int64_t end);

}  // namespace deepspeed::ops::cpu
