// Beam search as transformers 5.23 does it, its heuristics included. Torch-free.
#pragma once

#include <vector>

#include "deepspeed/inference/search.h"

namespace deepspeed::inference {

/// Each step the max(2, 1 + end tokens) * num_beams best continuations of all beams are looked at; those
/// among the first num_beams that have ended compete for the num_beams answers, by log probability /
/// length^length_penalty, and the best that have not go on. With do_sample they are drawn without replacement
/// instead (by the largest score + Gumbel noise), in the order of the draws. Sums are float32, as there. The
/// listener hears the answers once all are known.
class BeamSearch : public SearchBase {
 public:
  explicit BeamSearch(SearchInputs inputs);
  std::vector<Continuation> advance(std::span<const std::span<const float>> rows) override;
  std::vector<Sequence> finish() override;

 private:
  struct Beam {
    Line line;
    float score = 0;
    bool dead = false;  // only there to fill the number: a copy of the first beam, or one that has ended
  };
  struct Option {  // a beam's continuation by a token
    size_t beam;
    int32_t token;
    float score;
    double rank;  // what the choice goes by
  };
  struct Finished {
    Sequence sequence;
    float score;
    bool taken;         // false: a place that nothing has come to yet
    bool dead = false;  // a dead beam came to it, as in transformers; it is no answer
  };
  struct Running {
    Beam beam;
    Continuation from;
  };
  std::vector<Option> options(std::span<const std::span<const float>> rows) const;
  /// Sorts the options into those that have ended, for collect(), and the beams of the next step.
  std::vector<Running> extend(const std::vector<Option>& best, std::span<const std::span<const float>> rows,
                              bool& all_ended);
  bool full() const;
  void collect(const std::vector<Finished>& candidates);
  void update_hope(float best_running);

  size_t count_, kept_;
  std::vector<Beam> beams_;
  std::vector<Finished> finished_;
  bool hope_ = true;  // a running beam may still become better than a finished one
  size_t length_;     // tokens so far
};

}  // namespace deepspeed::inference
