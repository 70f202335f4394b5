// How the weight of a linear layer lies packed for inference: the one order in memory that all instruction
// sets read, for one row of x and for many. Torch-free.
//
// Outputs are taken in panels of 16 columns, `in` in quads of four numbers. A panel is contiguous: all its
// quads, in order, so that a product with few rows reads every byte once, one after the other.
//   kFp32            [in][16] floats
//   kBf16            [in / 2][16][2] bf16
//   kInt8, kInt8Dyn  [in / 4][16][4] bytes q + 128
//   kInt4            [in / 32][4][16][4] bytes; byte [j][column][i] holds q + 8 of quads 2j (low half) and
//                    2j + 1 of its 32 numbers
//   kFp6             [in / 32] times kInt4's 256 bytes with the codes' low four bits, then [2][16][4] bytes,
//                    of which [h][column][i] holds the high two bits of quads 4h ... 4h + 3, lowest first
// kBf16's and kInt8's order is also that of AMX tiles. Scales are bf16, [panel][group][16]; of asymmetric
// weights [panel][group][2][16], first the scales, then the shifts.
#pragma once

#include <cstdint>

namespace deepspeed::ops::cpu {

enum class PackedScheme : uint8_t { kFp32, kBf16, kInt8, kInt8Dynamic, kInt4, kFp6 };

enum class PackedActivation : uint8_t { kNone, kGeluTanh, kGeluErf, kSilu, kRelu };

constexpr int64_t kPanel = 16;             // columns
constexpr int64_t kPadIn = 64;             // `in` is filled up with zeros to a multiple of this
constexpr int64_t kWholeRow = 128;         // numbers of x with one scale where the weight has one a row
constexpr int64_t kMostInBytes = 1 << 16;  // `in` of a row whose products are summed in int32 at once

struct PackedFormat {
  PackedScheme scheme = PackedScheme::kFp32;
  int64_t in = 0, out = 0;
  int64_t group = 0;        // numbers along `in` with one scale; 0: the whole row. Nothing for fp32 and bf16
  bool gated = false;       // panels of gates and ups take turns
  bool asymmetric = false;  // a number is q s + shift, of integer schemes

  bool quantized() const { return scheme != PackedScheme::kFp32 && scheme != PackedScheme::kBf16; }
  int64_t padded_in() const { return (in + kPadIn - 1) / kPadIn * kPadIn; }
  /// An even number: kernels take two at a time.
  int64_t panels() const { return (out + 2 * kPanel - 1) / (2 * kPanel) * 2; }
  int64_t groups() const { return group == 0 ? 1 : (in + group - 1) / group; }
  /// Bits that a number takes, without its scale.
  int64_t bits() const {
    switch (scheme) {
      case PackedScheme::kFp32:
        return 32;
      case PackedScheme::kBf16:
        return 16;
      case PackedScheme::kInt8:
      case PackedScheme::kInt8Dynamic:
        return 8;
      case PackedScheme::kInt4:
        return 4;
      case PackedScheme::kFp6:
        return 6;
    }
    return 0;
  }
  int64_t panel_bytes() const { return padded_in() * kPanel * bits() / 8; }
  int64_t bytes() const { return panels() * panel_bytes(); }
  /// bf16 numbers that a panel's group has: its scales, and its shifts behind them.
  int64_t group_scales() const { return (asymmetric ? 2 : 1) * kPanel; }
  int64_t panel_scales() const { return groups() * group_scales(); }
  int64_t scales() const { return quantized() ? panels() * panel_scales() : 0; }

  /// Numbers of x with one scale, and how many of those a row has.
  int64_t x_group() const {
    if (group > 0) return group;
    return scheme == PackedScheme::kInt8Dynamic ? padded_in() : kWholeRow;
  }
  int64_t x_groups() const { return (in + x_group() - 1) / x_group(); }
  /// What is added to a number's integer so that it is stored without a sign.
  int32_t offset() const {
    return scheme == PackedScheme::kInt4 ? 8 : scheme == PackedScheme::kFp6 ? 448 : 128;
  }
};

/// An e3m2 code (sign, three bits of exponent with bias 3, two of mantissa; no infinities) in sixteenths:
/// -448 ... 448.
constexpr int32_t fp6_sixteenths(int code) {
  const int exponent = code >> 2 & 7, mantissa = code & 3;
  const int32_t magnitude = exponent == 0 ? mantissa : (4 + mantissa) << (exponent - 1);
  return code & 32 ? -magnitude : magnitude;
}

/// Where number k of column c lies in an int4 panel: the byte, and by how much it is shifted.
struct Nibble {
  int64_t byte;
  int shift;
};
constexpr Nibble int4_place(int64_t k, int64_t column) {
  const int64_t quad = k % 32 / 4;
  return {k / 32 * 256 + quad / 2 * 64 + column * 4 + k % 4, quad % 2 == 0 ? 0 : 4};
}
struct Fp6Place {
  Nibble low;
  Nibble high;  // of two bits
};
constexpr Fp6Place fp6_place(int64_t k, int64_t column) {
  const int64_t quad = k % 32 / 4, block = k / 32 * 384;
  const Nibble low = int4_place(k % 32, column);
  return {{block + low.byte, low.shift},
          {block + 256 + quad / 4 * 64 + column * 4 + k % 4, static_cast<int>(quad % 4 * 2)}};
}
/// Of an int8 panel: the byte.
constexpr int64_t int8_place(int64_t k, int64_t column) { return k / 4 * 64 + column * 4 + k % 4; }
/// Of a bf16 panel: the element.
constexpr int64_t bf16_place(int64_t k, int64_t column) { return k / 2 * 32 + column * 2 + k % 2; }

}  // namespace deepspeed::ops::cpu
