// Texts of many tokens, as perplexity and calibration read them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "deepspeed/inference/engine.h"

namespace deepspeed::inference {

/// The tokens of a text file without special ones, or, of a .bin, its little-endian 32-bit ids.
/// Error where there are none.
std::vector<int32_t> read_tokens(const InferenceEngine& engine, const std::filesystem::path& path);

/// The token that the tokenizer puts before every text; -1: none.
int32_t token_of_beginning(const InferenceEngine& engine);

/// Error where one of them is not in the model's vocabulary.
void check_tokens(const InferenceEngine& engine, const std::vector<int32_t>& ids);

}  // namespace deepspeed::inference
