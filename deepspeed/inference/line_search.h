// The likeliest token, or a draw, for each of a request's independent sequences. Torch-free.
#pragma once

#include <optional>
#include <vector>

#include "deepspeed/inference/search.h"

namespace deepspeed::inference {

/// Draw t of sequence s is draw_uniform(seed, s, t): no other sequence or request matters.
class LineSearch : public SearchBase {
 public:
  explicit LineSearch(SearchInputs inputs);
  std::vector<Continuation> advance(std::span<const std::span<const float>> rows) override;
  std::vector<Sequence> finish() override { return std::move(done_); }

 private:
  int32_t choose(std::span<const float> row, const Line& line, size_t sequence) const;
  /// Adds one token to the sequence; false when it has ended, with its answer in done_.
  bool extend(size_t sequence, std::span<const float> row);
  /// Tells the listener of new text; false when it wants no more.
  bool tell(size_t sequence, const std::string& text, int32_t token, std::optional<FinishReason> finish);

  std::vector<std::optional<Line>> lines_;  // of the sequences that go on
  std::vector<size_t> told_;                // how much of their texts the listener knows
  std::vector<Sequence> done_;
};

}  // namespace deepspeed::inference
