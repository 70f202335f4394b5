// What generation gives back, and what it tells while it works. Torch-free.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace deepspeed::inference {

enum class FinishReason {
  kStop,       // an end token or a stop string
  kLength,     // the most tokens asked for, or the model's last position
  kCancelled,  // the listener's wish
};

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;                           // of the model itself, before any processor
  std::vector<std::pair<int32_t, float>> top;  // the likeliest tokens, falling
};

struct Sequence {
  std::vector<int32_t> tokens;  // with the end token; with `echo` the prompt's before them
  std::string text;             // without special tokens, up to the stop string; "" without a tokenizer
  FinishReason finish = FinishReason::kLength;
  std::optional<int32_t> end_token;        // that it ended with
  std::optional<std::string> stop_string;  // that it was cut at
  std::vector<TokenLogprob> logprobs;      // of the new tokens, where asked for
  double score = 0;                        // of a beam: log probability / length^length_penalty
};

struct Answer {
  std::vector<Sequence> sequences;  // of beams the best first; fewer than asked for where no more could end
  /// With `echo` and `logprobs`, those of the prompt's tokens but the first.
  std::vector<TokenLogprob> prompt_logprobs;
  uint64_t seed = 0;  // what the draws were made from
};

/// What is new in one sequence of one request.
struct Progress {
  size_t request = 0, sequence = 0;
  std::string text;  // whole characters; never any that a stop string could still take back
  std::optional<int32_t> token;
  std::optional<FinishReason> finish;  // in the last report of the sequence
};
/// Called on the generating thread. Returns whether the sequence is to go on.
using Listener = std::function<bool(const Progress&)>;

}  // namespace deepspeed::inference
