#include "deepspeed/ops/cpu/lanes_scalar.h"
#include "deepspeed/ops/cpu/packed_loop.h"

namespace deepspeed::ops::cpu {
namespace {

struct PackedLanesScalar : LanesScalar {
  static constexpr int kFloatRows = 1, kFloatPanels = 2;
  static DS_INLINE F even(const uint16_t* p) {
    return F{bf16_to_float(p[0]), bf16_to_float(p[2]), bf16_to_float(p[4]), bf16_to_float(p[6])};
  }
  static DS_INLINE F odd(const uint16_t* p) { return even(p + 1); }
};

struct QuadsScalar {
  struct W {
    uint8_t bytes[64];
  };
  struct Sum {
    int32_t columns[16];
  };
  static constexpr int kRows[3] = {1, 1, 1};
  static constexpr int kWords[2] = {2, 2};

  template <bool kWide>
  static DS_INLINE int32_t code(const float* numbers, int64_t count, int32_t* words) {
    return code_quads<QuadsScalar, kWide>(numbers, count, words);
  }
  static DS_INLINE void code_quad(const int32_t* quad, int32_t* words) {
    for (int i = 0; i < 2; ++i)
      words[i] = static_cast<int32_t>(static_cast<uint32_t>(quad[2 * i] & 0xFFFF) |
                                      static_cast<uint32_t>(quad[2 * i + 1]) << 16);
  }
  static DS_INLINE W bytes(const uint8_t* p) {
    W w;
    __builtin_memcpy(&w, p, 64);
    return w;
  }
  template <int kShift, int kMask>
  static DS_INLINE W bits(W w) {
    for (uint8_t& byte : w.bytes) byte = static_cast<uint8_t>(byte >> kShift & kMask);
    return w;
  }
  template <int kShift, int kMask>
  static DS_INLINE W bits_up(W w) {
    for (uint8_t& byte : w.bytes) byte = static_cast<uint8_t>(byte << kShift & kMask);
    return w;
  }
  static DS_INLINE W merge(W a, W b) {
    for (int i = 0; i < 64; ++i) a.bytes[i] = a.bytes[i] | b.bytes[i];
    return a;
  }
  static DS_INLINE W lookup(const uint8_t* table, W code) {
    for (uint8_t& byte : code.bytes) byte = table[byte];
    return code;
  }
  template <bool kWide>
  static DS_INLINE void dot(Sum& sum, const W& w, const int32_t* x) {
    const int32_t quad[4] = {static_cast<int16_t>(x[0]), x[0] >> 16, static_cast<int16_t>(x[1]), x[1] >> 16};
    for (int c = 0; c < 16; ++c) {
      uint32_t products = 0;  // sums wrap round: only what is left of them at the end has to fit
      for (int j = 0; j < 4; ++j)
        products += static_cast<uint32_t>(w.bytes[4 * c + j]) * static_cast<uint32_t>(quad[j]);
      sum.columns[c] = static_cast<int32_t>(static_cast<uint32_t>(sum.columns[c]) + products);
    }
  }
  template <bool kWide>
  static DS_INLINE void total(const Sum& low, const Sum& high, bool both, int32_t minus,
                              LanesScalar::F* result) {
    const auto column = [&](int c) {
      uint32_t sum = static_cast<uint32_t>(low.columns[c]);
      if (both) sum += static_cast<uint32_t>(high.columns[c]) << 8;
      return static_cast<float>(static_cast<int32_t>(sum - static_cast<uint32_t>(minus)));
    };
    for (int v = 0; v < 4; ++v)
      result[v] = LanesScalar::F{column(4 * v), column(4 * v + 1), column(4 * v + 2), column(4 * v + 3)};
  }
};

}  // namespace

constinit const PackedKernels kPackedScalar = packed_kernels_of<QuadsScalar, PackedLanesScalar>();

}  // namespace deepspeed::ops::cpu
