#include "deepspeed/inference/search.h"

#include <algorithm>
#include <cmath>

#include "deepspeed/accel/rng.h"
#include "deepspeed/base/error.h"
#include "deepspeed/inference/beam_search.h"
#include "deepspeed/inference/line_search.h"

namespace deepspeed::inference {
namespace {

// Of a stop string that is a special token, which has no text, the token.
void stop_at_special_tokens(SearchInputs& in) {
  for (const std::string& stop : in.config.stop_strings)
    if (const auto id = in.tokenizer->token_to_id(stop))
      if (in.tokenizer->decode(std::span(&*id, 1)).empty()) in.config.stop_token_ids.push_back(*id);
}

SearchInputs checked(SearchInputs in) {
  DS_CHECK(in.config.stop_strings.empty() || in.tokenizer != nullptr,
           "stop_strings need the model's tokenizer");
  if (in.tokenizer != nullptr) stop_at_special_tokens(in);
  return in;
}

void check_scores(std::span<const float> row) {
  for (const float x : row)
    DS_CHECK(!std::isnan(x) && x != std::numeric_limits<float>::infinity(),
             "the model's scores are not finite; remove_invalid_values would go on all the same");
}

}  // namespace

TokenLogprob logprob_of(std::span<const float> row, int32_t token, size_t top) {
  const double normalizer = log_sum_exp(row);
  const auto of = [&](float score) { return static_cast<float>(score - normalizer); };
  TokenLogprob out{token, of(row[static_cast<size_t>(token)]), {}};
  for (const Candidate& one : top_candidates(row, top)) out.top.emplace_back(one.token, of(one.score));
  return out;
}

double draw_uniform(uint64_t seed, uint64_t stream, uint64_t index) {
  constexpr uint64_t kDraws = 0x67656e6572617465;  // apart from every other use of the seed
  const auto words = accel::philox({seed, kDraws ^ stream}, index);
  const uint64_t bits = (uint64_t{words[0]} << 32 | words[1]) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

int32_t draw_token(std::span<const float> row, double u) {
  const auto all = candidates(row);
  double sum = 0;
  for (const Candidate& one : all) sum += one.probability;
  const double wanted = u * sum;
  double passed = 0;
  int32_t chosen = all.front().token;
  for (const Candidate& one : all) {
    if (one.probability <= 0) continue;
    chosen = one.token;
    passed += one.probability;
    if (passed > wanted) break;
  }
  return chosen;
}

SearchBase::SearchBase(SearchInputs inputs)
    : in_(checked(std::move(inputs))),
      stops_(std::make_shared<StopStrings>(in_.config.stop_strings)),
      ends_(in_.config.end_tokens()),
      process_(in_.config, in_.prompt.size(), in_.max_length) {
  DS_CHECK(!in_.prompt.empty(), "generation needs a prompt of at least one token");
  DS_CHECK(in_.prompt.size() < in_.max_length,
           "a prompt of {} tokens leaves no room in {} (max_length or the model's positions)",
           in_.prompt.size(), in_.max_length);
  std::sort(ends_.begin(), ends_.end());
}

Line SearchBase::first_line() const {
  const bool echoes = in_.config.echo && in_.tokenizer != nullptr;
  return {in_.prompt, TextStream(in_.tokenizer, stops_), echoes ? in_.tokenizer->decode(in_.prompt) : "", {}};
}

std::vector<float> SearchBase::processed(std::span<const float> row, const Line& line,
                                         bool as_log_probabilities) const {
  if (!in_.config.remove_invalid_values) check_scores(row);
  std::vector<float> scores(row.begin(), row.end());
  if (as_log_probabilities) log_softmax(scores);
  process_(scores, {line.tokens, in_.prompt.size(), in_.input});
  return scores;
}

void SearchBase::append(Line& line, int32_t token, std::span<const float> row) const {
  line.tokens.push_back(token);
  if (in_.config.logprobs)
    line.logprobs.push_back(logprob_of(row, token, static_cast<size_t>(*in_.config.logprobs)));
  line.text += line.stream.put(token);
}

bool SearchBase::ended(const Line& line, Sequence& out) const {
  const int32_t last = line.tokens.back();
  if (std::binary_search(ends_.begin(), ends_.end(), last)) {
    out.end_token = last;
  } else if (const auto stop = line.stream.stopped()) {
    out.stop_string = stops_->strings()[*stop];
  } else {
    return line.tokens.size() >= in_.max_length;
  }
  out.finish = FinishReason::kStop;
  return true;
}

Sequence SearchBase::sequence_of(Line line, Sequence ending) const {
  line.text += line.stream.finish();
  if (const auto stop = line.stream.stopped(); stop && !ending.end_token) {
    // A character that stayed unfinished may complete one.
    ending.stop_string = stops_->strings()[*stop];
    ending.finish = FinishReason::kStop;
  }
  ending.tokens = std::move(line.tokens);
  ending.text = std::move(line.text);
  ending.logprobs = std::move(line.logprobs);
  const auto prompt = static_cast<ptrdiff_t>(in_.prompt.size());
  if (!in_.config.echo) ending.tokens.erase(ending.tokens.begin(), ending.tokens.begin() + prompt);
  return ending;
}

std::unique_ptr<Search> make_search(SearchInputs inputs) {
  if (inputs.config.num_beams > 1) return std::make_unique<BeamSearch>(std::move(inputs));
  return std::make_unique<LineSearch>(std::move(inputs));
}

}  // namespace deepspeed::inference
