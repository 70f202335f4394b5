// The arithmetic of the three batch keys.
#pragma once

#include <cstdint>
#include <optional>

namespace deepspeed::engine {

/// What the configuration gives of train_batch_size (T), train_micro_batch_size_per_gpu (M) and
/// gradient_accumulation_steps (G).
struct GivenBatch {
  std::optional<int64_t> train, micro, accumulation;
};

struct BatchSizes {
  int64_t train = 0, micro = 0, accumulation = 0;
};

/// Completes the three so that T = M * G * W, W = `world_size` data-parallel ranks, as DeepSpeed does
/// (runtime/config.py): T and M give G, T and G give M, M and G give T; T alone means G = 1; M alone means G
/// = 1. Divisions round down, and what does not come out even is an Error with all four numbers, as are
/// values < 1, neither T nor M, and overflow.
BatchSizes resolve_batch(const GivenBatch& given, int64_t world_size);

}  // namespace deepspeed::engine
