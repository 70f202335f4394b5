// What changes a row of scores before a token is chosen from it: pure functions, and LogitsProcessor, which
// applies those that a request asks for in transformers' order. Torch-free.
//
// Sources: transformers' generation/logits_process.py for all but presence and frequency penalties
// (OpenAI's); Keskar et al., "CTRL" (2019) for repetition; Holtzman et al. (2020) for top-p; Meister et al.
// (2022) for typical; Hewitt et al. (2022) for epsilon and eta; Nguyen et al. (2024) for min-p; Potraghloo et
// al. (2025) for top-h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "deepspeed/inference/generation_config.h"
#include "deepspeed/inference/row_math.h"

namespace deepspeed::inference {

using Row = std::span<float>;  // one score a token of the vocabulary
using Tokens = std::span<const int32_t>;

/// A sequence so far: prompt and what was generated.
struct SequenceView {
  Tokens tokens;
  size_t prompt_length;
  Tokens input{};  // what an encoder has read, if there is one
  Tokens source() const { return input.empty() ? prompt() : input; }
  Tokens prompt() const { return tokens.first(prompt_length); }
  Tokens generated() const { return tokens.subspan(prompt_length); }
};

/// Bans the tokens; ids outside the row are passed over.
void ban(Row row, Tokens banned);
/// Bans all tokens but these, whose scores become 0.
void force(Row row, Tokens only);
/// Adds each bias whose sequence would be completed by its last token; biases of one token always.
void add_biases(Row row, Tokens sequence, const std::vector<SequenceBias>& biases);
/// Divides scores of the tokens that occur (each once) by `penalty`; negative scores are multiplied.
void penalize_occurring(Row row, Tokens occurring, float penalty);
/// Takes `presence` once and `frequency` for each occurrence.
void penalize_counted(Row row, Tokens generated, float presence, float frequency);
/// Bans tokens that would complete a run of `size` tokens which `text` has already.
void ban_repeated_runs(Row row, Tokens sequence, Tokens text, size_t size);
/// NaN to 0, infinities to the largest and lowest finite numbers.
void remove_invalid(Row row);
/// LengthDecay of the tokens `ends` after `generated` tokens.
void raise_by_length(Row row, Tokens ends, const LengthDecay& decay, size_t generated);

// Filters ban the unlikely; each keeps the `at_least` likeliest.
void keep_top_k(Row row, size_t k);
void keep_top_p(Row row, double p, size_t at_least);
void keep_top_h(Row row, double part);
void keep_min_p(Row row, double part, size_t at_least);
void keep_typical(Row row, double mass, size_t at_least);
void keep_above_epsilon(Row row, double epsilon, size_t at_least);
void keep_above_eta(Row row, double epsilon, size_t at_least);

/// All of them that one request asks for. Immutable; its rows may call it at once.
class LogitsProcessor {
 public:
  /// `max_length`: tokens in all at which the sequence will end.
  LogitsProcessor(const GenerationConfig& config, size_t prompt_length, size_t max_length);
  /// `row` becomes the scores to choose from: probabilities are its softmax.
  void operator()(Row row, SequenceView sequence) const;

 private:
  void shape(Row row, SequenceView sequence) const;
  void constrain(Row row, SequenceView sequence) const;
  void filter(Row row) const;

  GenerationConfig config_;
  size_t min_length_, max_length_, begin_;
  size_t at_least_;            // that each filter keeps
  std::vector<int32_t> ends_;  // what min_length holds back
  std::vector<SequenceBias> token_biases_, bad_words_;
};

}  // namespace deepspeed::inference
