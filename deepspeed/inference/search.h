// How one request's tokens are chosen, step by step, from scores that anybody computed: a plan without a
// model. Torch-free.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "deepspeed/inference/answer.h"
#include "deepspeed/inference/generation_config.h"
#include "deepspeed/inference/logits_process.h"
#include "deepspeed/inference/text_stream.h"

namespace deepspeed::inference {

/// What every search is made from. `max_length` counts tokens, prompt included, and is above the prompt's
/// length.
struct SearchInputs {
  std::vector<int32_t> prompt;
  GenerationConfig config;
  size_t max_length = 0;
  std::vector<int32_t> input{};  // of a model with an encoder, what that reads; the prompt begins the answer
  uint64_t seed = 0;
  const text::Tokenizer* tokenizer = nullptr;  // needed for stop strings; outlives the search
  size_t request = 0;                          // its number, for the listener
  Listener listener{};
};

/// A row of the next step: the row of this one that it continues, and the token it adds.
struct Continuation {
  size_t parent;
  int32_t token;
};

class Search {
 public:
  virtual ~Search() = default;
  /// `rows` are the model's scores after each sequence: first one row, after the prompt, then one a
  /// continuation, in their order. Returns the next rows; none when the search is done. Error when no token
  /// can be chosen.
  virtual std::vector<Continuation> advance(std::span<const std::span<const float>> rows) = 0;
  /// The answers, once done.
  virtual std::vector<Sequence> finish() = 0;
};

/// Beam search with num_beams above 1, otherwise the likeliest tokens or draws.
std::unique_ptr<Search> make_search(SearchInputs inputs);

/// One sequence as it grows; a value.
struct Line {
  std::vector<int32_t> tokens;  // prompt and new ones
  TextStream stream;
  std::string text;  // with `echo` the prompt's first
  std::vector<TokenLogprob> logprobs;
};

/// What the two searches share.
class SearchBase : public Search {
 protected:
  explicit SearchBase(SearchInputs inputs);
  Line first_line() const;
  /// The scores to choose from after `line`.
  std::vector<float> processed(std::span<const float> row, const Line& line, bool as_log_probabilities) const;
  /// Adds the token and the text that became certain.
  void append(Line& line, int32_t token, std::span<const float> row) const;
  /// Whether the line has ended, and how; fills those members of `out`.
  bool ended(const Line& line, Sequence& out) const;
  /// The whole of a line that has ended.
  Sequence sequence_of(Line line, Sequence ending) const;

  SearchInputs in_;
  std::shared_ptr<const StopStrings> stops_;
  std::vector<int32_t> ends_;  // sorted
  LogitsProcessor process_;
};

/// What the row's softmax gives the token, and the `top` likeliest ones.
TokenLogprob logprob_of(std::span<const float> row, int32_t token, size_t top);
/// Word `index` of the request's stream `stream` as a number in [0, 1) with 53 bits.
double draw_uniform(uint64_t seed, uint64_t stream, uint64_t index);
/// The token whose interval of the cumulated softmax, by ids, holds u.
int32_t draw_token(std::span<const float> row, double u);

}  // namespace deepspeed::inference
