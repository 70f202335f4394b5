// How well a decoder foretells a text: what is compared where weights have fewer bits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "deepspeed/inference/engine.h"
#include "deepspeed/inference/infer.h"

namespace deepspeed::inference {

struct Perplexity {
  double value = 0;  // exp of the mean of -log p
  double error = 0;  // of the value: the standard error of that mean, times the value
  int64_t tokens = 0;
};

/// Cuts `ids` into windows of `window` tokens, the last one left out where it is shorter, and scores the
/// second half of each, given what stands before in its window (as llama.cpp's perplexity tool does).
/// `first`, if not negative, takes the place of each window's first token: models that were trained with a
/// token for the beginning want it there. `most`: so many windows at most; 0: all. Errors: fewer tokens than
/// a window, a window of fewer than 4 or of more than the model's positions, ids outside the vocabulary.
/// Every rank of the engine's group calls it.
Perplexity perplexity(InferenceEngine& engine, const std::vector<int32_t>& ids, int64_t window,
                      int32_t first = -1, int64_t most = 0);

/// The same of options.perplexity, a text or, as .bin, little-endian 32-bit token ids; prints a line.
void measure_perplexity(InferenceEngine& engine, const InferOptions& options);

}  // namespace deepspeed::inference
