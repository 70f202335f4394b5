// Dropout on raw pointers, once per instruction set. Torch-free.
#pragma once

#include <cstdint>

namespace deepspeed::ops::cpu {

/// What decides an element: dropped where its random word is below `threshold`, else multiplied by
/// keep_scale.
struct DropoutMask {
  uint64_t seed, stream;
  uint32_t threshold;
  float keep_scale;
};

/// The mask of probability p in [0, 1]: keeps exactly where accel::uniform(key, i) >= p. Where p is so near 1
/// that no 24-bit draw reaches it, keep_scale is 0.
inline DropoutMask dropout_mask(double p, uint64_t seed, uint64_t stream) {
  const double scaled = p * 0x1p24;  // exact
  const auto whole = static_cast<uint32_t>(scaled);
  const uint32_t reached = whole + (static_cast<double>(whole) < scaled ? 1 : 0);
  if (reached >= 0x1000000u) return {seed, stream, UINT32_MAX, 0.0f};
  return {seed, stream, reached << 8, static_cast<float>(1 / (1 - p))};
}

/// to[i] = dropout(from)[i] (+ residual[i] where there is one) for elements [begin, end); begin is a multiple
/// of 32. Elements are float, or bfloat16 where bf16.
struct DropoutArgs {
  DropoutMask mask;
  const void* from;
  const void* residual;  // or null
  void* to;
  bool bf16;
};
using DropoutKernel = void (*)(const DropoutArgs& args, int64_t begin, int64_t end);

void dropout_scalar(const DropoutArgs& args, int64_t begin, int64_t end);
void dropout_avx2(const DropoutArgs& args, int64_t begin, int64_t end);
void dropout_avx512(const DropoutArgs& args, int64_t begin, int64_t end);

/// Random words [32 * begin, 32 * end) of the stream: what the tests compare between instruction sets.
using WordsKernel = void (*)(uint64_t seed, uint64_t stream, int64_t begin, int64_t end, uint32_t* words);
void philox_words_scalar(uint64_t seed, uint64_t stream, int64_t begin, int64_t end, uint32_t* words);
void philox_words_avx2(uint64_t seed, uint64_t stream, int64_t begin, int64_t end, uint32_t* words);
void philox_words_avx512(uint64_t seed, uint64_t stream, int64_t begin, int64_t end, uint32_t* words);

}  // namespace deepspeed::ops::cpu
