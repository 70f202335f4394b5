// Sampling text from a decoder, one token at a time over a key-value cache.
#pragma once

#include <cstdint>
#include <vector>

#include "deepspeed/models/decoder.h"

namespace deepspeed::models {

struct SamplingOptions {
  int64_t max_new_tokens = 64;
  double temperature = 0.8;  // 0: the likeliest token
  int64_t top_k = 40;        // 0: all tokens
  uint64_t seed = 1;
  int32_t stop_token = -1;  // generation ends after it; -1: none
};

/// Continues `prompt` (not empty, ids within the vocabulary). Returns the new tokens only. Switches to
/// evaluation mode for the duration. Ends early at the model's last position.
std::vector<int32_t> generate(Decoder& model, const std::vector<int32_t>& prompt,
                              const SamplingOptions& options);

}  // namespace deepspeed::models
