// What a request for text may ask, under the names of transformers' generation_config.json. Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "deepspeed/config/json.h"

namespace deepspeed::inference {

/// When beam search ends although beams could go on: once num_beams sequences are finished (kTrue), once a
/// better one is unlikely (kFalse, a heuristic), or once none can be better (kNever).
enum class EarlyStopping { kFalse, kTrue, kNever };

/// Added to the score of the last token where the ones before it end the sequence.
struct SequenceBias {
  std::vector<int32_t> tokens;  // not empty
  float bias = 0;
};

/// The eos token's score rises by |score| * (factor^n - 1) at the n-th token after `start` new ones.
struct LengthDecay {
  int64_t start = 0;
  double factor = 1;
};

/// Keys are documented in schema.cpp; defaults are transformers' where no file sets any. Lengths in tokens.
struct GenerationConfig {
  std::optional<int64_t> max_new_tokens, max_length, min_new_tokens;
  int64_t min_length = 0;

  bool do_sample = false;
  int64_t num_return_sequences = 1;
  std::optional<int64_t> seed;
  double temperature = 1;
  int64_t top_k = 50;
  std::optional<double> top_h, min_p;
  double top_p = 1, typical_p = 1, epsilon_cutoff = 0, eta_cutoff = 0;

  int64_t num_beams = 1;
  double length_penalty = 1;
  EarlyStopping early_stopping = EarlyStopping::kFalse;

  double repetition_penalty = 1, encoder_repetition_penalty = 1;
  double presence_penalty = 0, frequency_penalty = 0;
  std::vector<SequenceBias> sequence_bias;
  std::vector<std::pair<int32_t, float>> logit_bias;
  int64_t no_repeat_ngram_size = 0, encoder_no_repeat_ngram_size = 0;
  std::vector<std::vector<int32_t>> bad_words_ids;
  std::vector<int32_t> suppress_tokens, begin_suppress_tokens;
  std::optional<int32_t> forced_bos_token_id;
  std::vector<int32_t> forced_eos_token_id;
  std::optional<LengthDecay> exponential_decay_length_penalty;
  bool remove_invalid_values = false, renormalize_logits = false;

  std::vector<int32_t> eos_token_id, stop_token_ids;
  bool ignore_eos = false;
  std::vector<std::string> stop_strings;
  std::optional<int32_t> pad_token_id, bos_token_id;
  std::optional<int32_t> decoder_start_token_id;  // of models with an encoder; nothing: as config.json says

  std::optional<int64_t> logprobs;
  bool echo = false;

  /// Whether tokens are drawn by chance: temperature 0, or next to it, asks for the likeliest one.
  bool draws() const { return do_sample && temperature >= 1e-5; }
  /// What ends a sequence: eos, unless ignored, and the request's own.
  std::vector<int32_t> end_tokens() const;
  /// Throws where a token that has to be in the vocabulary is not.
  void check_tokens(int64_t vocabulary) const;
};

/// What a model folder asks for by itself: the known keys of generation_config.json or, without that file, of
/// config.json, nulls left out. Keys that are no generation option are passed over, as transformers does.
config::Json generation_defaults(const std::filesystem::path& model_folder);

/// `request` over `defaults`. A null in the request sets aside what the model asks for. Errors, one line with
/// the key: unknown keys of the request (with the nearest name), wrong types and ranges, keys that contradict
/// each other, and options that would change the result and are not built.
GenerationConfig parse_generation(const config::Json& request,
                                  const config::Json& defaults = config::Json::object(),
                                  const std::string& name = "request");

}  // namespace deepspeed::inference
