#include "deepspeed/inference/beam_search.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "deepspeed/base/error.h"

namespace deepspeed::inference {
namespace {

// What takes an option out of the running; float32 sums with it are transformers' too.
constexpr float kOut = -1.0e9F;

template <class T, class Key>
void sort_falling(std::vector<T>& all, size_t kept, Key key) {
  const auto middle = all.begin() + static_cast<ptrdiff_t>(std::min(kept, all.size()));
  std::partial_sort(all.begin(), middle, all.end(), [&](const T& a, const T& b) { return key(a) > key(b); });
  all.erase(middle, all.end());
}

}  // namespace

BeamSearch::BeamSearch(SearchInputs inputs)
    : SearchBase(std::move(inputs)),
      count_(static_cast<size_t>(in_.config.num_beams)),
      length_(in_.prompt.size()) {
  kept_ = std::max<size_t>(2, 1 + ends_.size()) * count_;
  // Only the first beam counts in the first step, in which all are the same.
  for (size_t i = 0; i < count_; ++i) beams_.push_back({first_line(), i == 0 ? 0 : kOut, i > 0});
  finished_.assign(count_, {{}, kOut, false});
}

std::vector<BeamSearch::Option> BeamSearch::options(std::span<const std::span<const float>> rows) const {
  std::vector<Option> all;
  const bool draws = in_.config.draws();
  for (size_t b = 0; b < beams_.size(); ++b) {
    std::vector<float> scores = processed(rows[rows.size() == 1 ? 0 : b], beams_[b].line, true);
    for (float& x : scores) x += beams_[b].score;
    std::vector<Option> own;
    for (size_t token = 0; token < scores.size(); ++token)
      if (scores[token] > kBanned)
        own.push_back({b, static_cast<int32_t>(token), scores[token], scores[token]});
    if (draws) {
      const uint64_t row = (length_ - in_.prompt.size()) * count_ + b;
      for (Option& one : own) {
        const double u = draw_uniform(in_.seed, row, static_cast<uint64_t>(one.token));
        one.rank = one.score - std::log(-std::log(u));
      }
    }
    sort_falling(own, kept_, [](const Option& o) { return std::tuple(o.rank, -o.token); });
    all.insert(all.end(), own.begin(), own.end());
  }
  sort_falling(all, kept_,
               [](const Option& o) { return std::tuple(o.rank, -static_cast<int64_t>(o.beam), -o.token); });
  return all;
}

std::vector<BeamSearch::Running> BeamSearch::extend(const std::vector<Option>& best,
                                                    std::span<const std::span<const float>> rows,
                                                    bool& all_ended) {
  const double divisor = std::pow(length_ + 1 - in_.prompt.size(), in_.config.length_penalty);
  std::vector<Running> running;
  std::vector<Finished> ending;
  for (size_t i = 0; i < best.size(); ++i) {
    const Option& one = best[i];
    Running next{beams_[one.beam], {rows.size() == 1 ? 0 : one.beam, one.token}};
    append(next.beam.line, one.token, rows[next.from.parent]);
    Sequence end;
    const bool hit = ended(next.beam.line, end);
    if (hit && i < count_)
      ending.push_back(
          {sequence_of(next.beam.line, end), static_cast<float>(one.score / divisor), true, next.beam.dead});
    next.beam.score = one.score + (hit ? kOut : 0);
    next.beam.dead = next.beam.dead || hit;
    all_ended = all_ended && hit;
    running.push_back(std::move(next));
  }
  collect(ending);
  std::stable_sort(running.begin(), running.end(),
                   [](const Running& a, const Running& b) { return a.beam.score > b.beam.score; });
  if (running.size() > count_) running.erase(running.begin() + static_cast<ptrdiff_t>(count_), running.end());
  return running;
}

std::vector<Continuation> BeamSearch::advance(std::span<const std::span<const float>> rows) {
  const std::vector<Option> best = options(rows);
  DS_CHECK(!best.empty(), "no token is left to choose: the request bans every one of them");
  bool all_ended = true;
  std::vector<Running> running = extend(best, rows, all_ended);
  ++length_;
  update_hope(running.front().beam.score);
  if (!hope_ || all_ended || (full() && in_.config.early_stopping == EarlyStopping::kTrue)) return {};
  beams_.clear();
  std::vector<Continuation> next;
  for (Running& one : running) {
    next.push_back(one.from);
    beams_.push_back(std::move(one.beam));
  }
  return next;
}

// The best count_ of those before and the new ones.
void BeamSearch::collect(const std::vector<Finished>& candidates) {
  finished_.insert(finished_.end(), candidates.begin(), candidates.end());
  // A long answer's score may be below that of a place that nothing has come to.
  const auto rank = [](const Finished& f) { return std::tuple(f.taken && !f.dead, f.score); };
  std::stable_sort(finished_.begin(), finished_.end(),
                   [&](const Finished& a, const Finished& b) { return rank(a) > rank(b); });
  finished_.resize(count_, {{}, kOut, false});
}

void BeamSearch::update_hope(float best_running) {
  const auto& c = in_.config;
  const bool to_the_end = c.early_stopping == EarlyStopping::kNever && c.length_penalty > 0;
  const size_t length = (to_the_end ? in_.max_length : length_) - in_.prompt.size();
  const auto possible = static_cast<float>(best_running / std::pow(length, c.length_penalty));
  const bool alive = best_running > kOut / 2;
  const bool any = std::any_of(finished_.begin(), finished_.end(), [&](const Finished& f) {
    return f.taken ? possible > finished_.back().score : alive;
  });
  hope_ = hope_ && any;
}

bool BeamSearch::full() const {
  return std::all_of(finished_.begin(), finished_.end(), [](const Finished& f) { return f.taken; });
}

std::vector<Sequence> BeamSearch::finish() {
  std::vector<Sequence> out;
  for (Finished& one : finished_) {
    if (!one.taken || one.dead || out.size() == static_cast<size_t>(in_.config.num_return_sequences))
      continue;
    one.sequence.score = one.score;
    out.push_back(std::move(one.sequence));
  }
  for (size_t i = 0; in_.listener && i < out.size(); ++i)
    in_.listener(
        {.request = in_.request, .sequence = i, .text = out[i].text, .token = {}, .finish = out[i].finish});
  return out;
}

}  // namespace deepspeed::inference
