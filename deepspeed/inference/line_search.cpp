#include "deepspeed/inference/line_search.h"

#include <utility>

#include "deepspeed/base/error.h"

namespace deepspeed::inference {

LineSearch::LineSearch(SearchInputs inputs) : SearchBase(std::move(inputs)) {
  const auto count = static_cast<size_t>(in_.config.num_return_sequences);
  lines_.assign(count, first_line());
  told_.assign(count, 0);
  done_.resize(count);
}

int32_t LineSearch::choose(std::span<const float> row, const Line& line, size_t sequence) const {
  const std::vector<float> scores = processed(row, line, /*as_log_probabilities=*/false);
  DS_CHECK(largest(scores) > kBanned, "no token is left to choose: the request bans every one of them");
  if (!in_.config.draws()) return likeliest(scores);
  return draw_token(scores, draw_uniform(in_.seed, sequence, line.tokens.size() - in_.prompt.size()));
}

bool LineSearch::tell(size_t sequence, const std::string& text, int32_t token,
                      std::optional<FinishReason> finish) {
  if (!in_.listener) return true;
  const size_t known = std::exchange(told_[sequence], text.size());
  return in_.listener({.request = in_.request,
                       .sequence = sequence,
                       .text = text.substr(known),
                       .token = token,
                       .finish = finish});
}

bool LineSearch::extend(size_t sequence, std::span<const float> row) {
  Line& line = *lines_[sequence];
  const int32_t token = choose(row, line, sequence);
  append(line, token, row);
  Sequence ending;
  const bool over = ended(line, ending);
  if (!over) {
    if (tell(sequence, line.text, token, std::nullopt)) return true;
    ending.finish = FinishReason::kCancelled;
  }
  done_[sequence] = sequence_of(std::move(line), std::move(ending));
  lines_[sequence].reset();
  if (over) tell(sequence, done_[sequence].text, token, done_[sequence].finish);
  return false;
}

std::vector<Continuation> LineSearch::advance(std::span<const std::span<const float>> rows) {
  std::vector<Continuation> next;
  size_t row = 0;
  const bool first = rows.size() == 1;  // after the prompt all sequences go on from one row
  for (size_t i = 0; i < lines_.size(); ++i) {
    if (!lines_[i]) continue;
    const size_t parent = first ? 0 : row++;
    if (extend(i, rows[parent])) next.push_back({parent, lines_[i]->tokens.back()});
  }
  return next;
}

}  // namespace deepspeed::inference
