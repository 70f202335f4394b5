// Pre-tokenizers: how text is cut into the pieces that BPE then works on, one at a time.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "deepspeed/text/bert_normalizer.h"
#include "deepspeed/text/pattern.h"
#include "deepspeed/text/piece.h"

namespace deepspeed::text {

/// What becomes of the matches of a Split's pattern, as tokenizers names it.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct SplitStep {
  Pattern pattern;
  SplitBehavior behavior;
  bool invert;  // what lies between the matches counts as the match
};

/// Sets code points of kNumericRanges apart, each alone or runs of them together.
struct DigitsStep {
  bool individual_digits;
};

/// Its other half, writing bytes as characters, is BpeModel's.
struct ByteLevelStep {
  bool add_prefix_space;
  std::optional<Pattern> pattern;  // GPT-2's, when use_regex is on
};

using PreTokenizerStep = std::variant<SplitStep, DigitsStep, ByteLevelStep, BertSplitStep>;

/// Sends `piece` through all steps and hands what comes out to `sink`, in order. Text made on the way lives
/// in `storage`.
void pre_tokenize(const std::vector<PreTokenizerStep>& steps, const Piece& piece, PieceStorage& storage,
                  const PieceSink& sink);

}  // namespace deepspeed::text
