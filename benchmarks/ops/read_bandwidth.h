// How fast memory can be read here: what products with few rows are held against.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <chrono>

#include "deepspeed/ops/huge_pages.h"
#include "deepspeed/ops/parallel.h"

namespace deepspeed::benchmarks {

/// Bytes a second of the best of ten passes over 1 GiB, on the compute threads, two streams each, asked for
/// as far ahead as the kernels do, those of integers and those of floating-point numbers in turn.
inline double read_bandwidth() {
  constexpr int64_t kLines = (int64_t{1} << 30) / 64;
  const at::Tensor memory = ops::empty_huge({kLines * 64}, at::kByte).zero_();
  const auto* bytes = static_cast<const char*>(memory.const_data_ptr());
  double best = 0;
  for (int turn = 0; turn < 10; ++turn) {
    const int64_t ahead = turn % 2 == 0 ? 2048 : 4096;
    const auto start = std::chrono::steady_clock::now();
    ops::parallel_ranges(kLines, 1, [&](int64_t begin, int64_t end) {
      const int64_t half = (end - begin) / 2;
      uint64_t sums[8] = {};
      for (int64_t line = begin; line < begin + half; ++line)
        for (const char* at : {bytes + line * 64, bytes + (line + half) * 64}) {
          __builtin_prefetch(at + ahead);
          const auto* words = reinterpret_cast<const uint64_t*>(at);
          for (int i = 0; i < 8; ++i) sums[i] += words[i];
        }
      volatile uint64_t kept = sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
      (void)kept;
    });
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(kLines * 64) / took.count());
  }
  return best;
}

}  // namespace deepspeed::benchmarks
