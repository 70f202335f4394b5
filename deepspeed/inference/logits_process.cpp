#include "deepspeed/inference/logits_process.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace deepspeed::inference {
namespace {

constexpr float kLargest = std::numeric_limits<float>::max();

bool ends_with(Tokens sequence, Tokens end) {
  return end.size() <= sequence.size() &&
         std::equal(end.begin(), end.end(), sequence.end() - static_cast<ptrdiff_t>(end.size()));
}

bool inside(Row row, int32_t token) { return token >= 0 && static_cast<size_t>(token) < row.size(); }

// Words that the eos token alone makes up are no bad words.
std::vector<SequenceBias> banned_words(const GenerationConfig& config) {
  std::vector<SequenceBias> out;
  for (const auto& word : config.bad_words_ids) {
    const bool eos = word.size() == 1 && std::find(config.eos_token_id.begin(), config.eos_token_id.end(),
                                                   word[0]) != config.eos_token_id.end();
    if (!eos) out.push_back({word, kBanned});
  }
  return out;
}

}  // namespace

void ban(Row row, Tokens banned) {
  for (const int32_t token : banned)
    if (inside(row, token)) row[static_cast<size_t>(token)] = kBanned;
}

void force(Row row, Tokens only) {
  std::fill(row.begin(), row.end(), kBanned);
  for (const int32_t token : only)
    if (inside(row, token)) row[static_cast<size_t>(token)] = 0;
}

void add_biases(Row row, Tokens sequence, const std::vector<SequenceBias>& biases) {
  // Summed first: where several apply to one token, the order of the sum is theirs.
  std::unordered_map<int32_t, float> sums;
  for (const SequenceBias& one : biases) {
    const Tokens tokens = one.tokens;
    if (ends_with(sequence, tokens.first(tokens.size() - 1)) && inside(row, tokens.back()))
      sums[tokens.back()] += one.bias;
  }
  for (const auto& [token, sum] : sums) row[static_cast<size_t>(token)] += sum;
}

void penalize_occurring(Row row, Tokens occurring, float penalty) {
  std::vector<bool> seen(row.size());
  for (const int32_t token : occurring) {
    const auto i = static_cast<size_t>(token);
    if (!inside(row, token) || seen[i]) continue;
    seen[i] = true;
    row[i] = std::min(row[i] < 0 ? row[i] * penalty : row[i] / penalty, kLargest);
  }
}

void penalize_counted(Row row, Tokens generated, float presence, float frequency) {
  std::unordered_map<int32_t, int64_t> counts;
  for (const int32_t token : generated)
    if (inside(row, token)) ++counts[token];
  for (const auto& [token, count] : counts)
    row[static_cast<size_t>(token)] -= presence + frequency * static_cast<float>(count);
}

void ban_repeated_runs(Row row, Tokens sequence, Tokens text, size_t size) {
  if (text.size() < size || sequence.size() + 1 < size) return;
  const Tokens begun = sequence.last(size - 1);
  for (size_t i = 0; i + size <= text.size(); ++i)
    if (std::equal(begun.begin(), begun.end(), text.begin() + static_cast<ptrdiff_t>(i)))
      ban(row, text.subspan(i + size - 1, 1));
}

void remove_invalid(Row row) {
  for (float& x : row) {
    if (std::isnan(x)) x = 0;
    x = std::clamp(x, std::numeric_limits<float>::lowest(), kLargest);
  }
}

void raise_by_length(Row row, Tokens ends, const LengthDecay& decay, size_t generated) {
  if (static_cast<int64_t>(generated) <= decay.start) return;
  const double power =
      std::pow(decay.factor, static_cast<double>(static_cast<int64_t>(generated) - decay.start));
  const auto rise = static_cast<float>(std::min<double>(power - 1, kLargest));
  std::vector<int32_t> each(ends.begin(), ends.end());
  std::sort(each.begin(), each.end());
  each.erase(std::unique(each.begin(), each.end()), each.end());
  for (const int32_t token : each) {
    if (!inside(row, token)) continue;
    float& score = row[static_cast<size_t>(token)];
    if (std::isfinite(score)) score = std::min(score + std::abs(score) * rise, kLargest);
  }
}

LogitsProcessor::LogitsProcessor(const GenerationConfig& config, size_t prompt_length, size_t max_length)
    : config_(config), max_length_(max_length), ends_(config.end_tokens()), bad_words_(banned_words(config)) {
  min_length_ = config.min_new_tokens ? prompt_length + static_cast<size_t>(*config.min_new_tokens)
                                      : static_cast<size_t>(config.min_length);
  // After a forced first token the answer begins with the second.
  begin_ = prompt_length + (prompt_length <= 1 && config.forced_bos_token_id ? 1 : 0);
  const size_t eos = config.eos_token_id.size();
  at_least_ = config.num_beams == 1 ? 1 : eos > 0 ? eos + 1 : 2;
  for (const auto& [token, bias] : config.logit_bias) token_biases_.push_back({{token}, bias});
}

void LogitsProcessor::operator()(Row row, SequenceView sequence) const {
  shape(row, sequence);
  constrain(row, sequence);
  if (config_.draws()) filter(row);
  if (config_.renormalize_logits) log_softmax(row);
}

void LogitsProcessor::shape(Row row, SequenceView sequence) const {
  const auto& c = config_;
  if (!c.sequence_bias.empty()) add_biases(row, sequence.tokens, c.sequence_bias);
  if (!token_biases_.empty()) add_biases(row, sequence.tokens, token_biases_);
  if (c.encoder_repetition_penalty != 1)
    penalize_occurring(row, sequence.source(), static_cast<float>(1 / c.encoder_repetition_penalty));
  if (c.repetition_penalty != 1)
    penalize_occurring(row, sequence.tokens, static_cast<float>(c.repetition_penalty));
  if (c.presence_penalty != 0 || c.frequency_penalty != 0)
    penalize_counted(row, sequence.generated(), static_cast<float>(c.presence_penalty),
                     static_cast<float>(c.frequency_penalty));
}

void LogitsProcessor::constrain(Row row, SequenceView sequence) const {
  const auto& c = config_;
  const size_t length = sequence.tokens.size();
  if (c.no_repeat_ngram_size > 0)
    ban_repeated_runs(row, sequence.tokens, sequence.tokens, static_cast<size_t>(c.no_repeat_ngram_size));
  if (c.encoder_no_repeat_ngram_size > 0)
    ban_repeated_runs(row, sequence.tokens, sequence.source(),
                      static_cast<size_t>(c.encoder_no_repeat_ngram_size));
  if (!bad_words_.empty()) add_biases(row, sequence.tokens, bad_words_);
  if (length < min_length_) ban(row, ends_);
  if (c.forced_bos_token_id && length == 1) force(row, {&*c.forced_bos_token_id, 1});
  if (!c.forced_eos_token_id.empty() && length + 1 == max_length_) force(row, c.forced_eos_token_id);
  if (c.remove_invalid_values) remove_invalid(row);
  if (c.exponential_decay_length_penalty)
    raise_by_length(row, c.eos_token_id, *c.exponential_decay_length_penalty, sequence.generated().size());
  if (!c.suppress_tokens.empty()) ban(row, c.suppress_tokens);
  if (!c.begin_suppress_tokens.empty() && length == begin_) ban(row, c.begin_suppress_tokens);
}

void LogitsProcessor::filter(Row row) const {
  const auto& c = config_;
  if (c.temperature != 1) {
    const auto temperature = static_cast<float>(c.temperature);
    for (float& x : row) x = std::min(x / temperature, kLargest);
  }
  if (c.top_h) keep_top_h(row, *c.top_h);
  if (c.top_k > 0) keep_top_k(row, std::max(static_cast<size_t>(c.top_k), at_least_));
  if (c.top_p < 1) keep_top_p(row, c.top_p, at_least_);
  if (c.min_p) keep_min_p(row, *c.min_p, at_least_);
  if (c.typical_p < 1) keep_typical(row, c.typical_p, at_least_);
  if (c.epsilon_cutoff > 0) keep_above_epsilon(row, c.epsilon_cutoff, at_least_);
  if (c.eta_cutoff > 0) keep_above_eta(row, c.eta_cutoff, at_least_);
}

}  // namespace deepspeed::inference
