// The dropout kernel for any vector type.
#pragma once

#include "deepspeed/ops/cpu/dropout_kernel.h"
#include "deepspeed/ops/cpu/simd_common.h"

namespace deepspeed::ops::cpu {
namespace {

constexpr int64_t kWordBlock = 32;  // what the widest vectors make at once

template <class V>
DS_INLINE void word_block(uint64_t seed, uint64_t stream, int64_t first, uint32_t* words) {
  for (int64_t i = 0; i < kWordBlock; i += V::kPhiloxWords) {
    V::philox(seed, stream, static_cast<uint64_t>(first + i) / 4, words + i);
  }
}

template <class V>
void philox_words(uint64_t seed, uint64_t stream, int64_t begin, int64_t end, uint32_t* words) {
  for (int64_t i = begin; i < end; ++i)
    word_block<V>(seed, stream, i * kWordBlock, words + (i - begin) * kWordBlock);
}

template <class V, class T, bool kResidual>
DS_INLINE void dropout_block(const DropoutMask& mask, const T* from, const T* residual, T* to,
                             const uint32_t* words) {
  const auto scale = V::set1(mask.keep_scale), zero = V::set1(0);
  for (int64_t i = 0; i < kWordBlock; i += V::kWidth) {
    auto x = V::select_ge(words + i, mask.threshold, V::mul(V::load(from + i), scale), zero);
    if constexpr (kResidual) x = V::add(V::load(residual + i), x);
    V::store(to + i, x);
  }
}

template <class V, class T, bool kResidual>
void dropout_range(const DropoutArgs& args, int64_t begin, int64_t end) {
  const T *from = static_cast<const T*>(args.from), *residual = static_cast<const T*>(args.residual);
  T* to = static_cast<T*>(args.to);
  alignas(64) uint32_t words[kWordBlock];
  int64_t i = begin;
  for (; i + kWordBlock <= end; i += kWordBlock) {
    word_block<V>(args.mask.seed, args.mask.stream, i, words);
    dropout_block<V, T, kResidual>(args.mask, from + i, kResidual ? residual + i : nullptr, to + i, words);
  }
  if (i == end) return;
  word_block<V>(args.mask.seed, args.mask.stream, i, words);
  alignas(64) T x[kWordBlock] = {}, r[kWordBlock] = {};
  for (int64_t k = i; k < end; ++k) x[k - i] = from[k];
  for (int64_t k = i; kResidual && k < end; ++k) r[k - i] = residual[k];
  dropout_block<V, T, kResidual>(args.mask, x, r, x, words);
  for (int64_t k = i; k < end; ++k) to[k] = x[k - i];
}

template <class V>
void dropout(const DropoutArgs& args, int64_t begin, int64_t end) {
  if (args.bf16) {
    if (args.residual) return dropout_range<V, uint16_t, true>(args, begin, end);
    return dropout_range<V, uint16_t, false>(args, begin, end);
  }
  if (args.residual) return dropout_range<V, float, true>(args, begin, end);
  dropout_range<V, float, false>(args, begin, end);
}

}  // namespace
}  // namespace deepspeed::ops::cpu
