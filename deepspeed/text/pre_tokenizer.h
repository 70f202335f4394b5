// Pre-tokenizers: how text is cut into the pieces that the model then works on, one at a time.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "deepspeed/text/bert_normalizer.h"
#include "deepspeed/text/matcher.h"
#include "deepspeed/text/piece.h"

namespace deepspeed::text {

/// What becomes of the matches of a Split's pattern, as tokenizers names it.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct SplitStep {
  Matcher matcher;
  SplitBehavior behavior;
  bool invert;  // what lies between the matches counts as the match
};

/// Sets code points of kNumericRanges apart, each alone or runs of them together.
struct DigitsStep {
  bool individual_digits;
};

/// Its other half, writing bytes as characters, is BpeModel's unless another step comes after it.
struct ByteLevelStep {
  bool add_prefix_space;
  std::optional<Pattern> pattern;  // GPT-2's, when use_regex is on
  bool writes_characters = false;
};

/// When Metaspace puts its marker before a piece that does not start with one.
enum class PrependScheme { kNever, kFirst, kAlways };

/// Writes spaces as a marker, and cuts before each.
struct MetaspaceStep {
  std::string marker;
  PrependScheme prepend;
  bool split;
};

/// Cuts before each marker that follows another character. No tokenizer.json has it: it is put behind the
/// other steps of a BPE model whose merges cannot tell, so that words are tokenized once.
struct MarkerCutStep {
  std::string marker;
};

/// Whitespace: words of kWordCharacterRanges and runs of what is neither word nor space.
struct WordsStep {};
/// WhitespaceSplit: what lies between white space.
struct WhiteSpaceStep {};
struct PunctuationStep {
  SplitBehavior behavior;
};
/// CharDelimiterSplit: what lies between occurrences of one character.
struct DelimiterStep {
  uint32_t delimiter;
};

using PreTokenizerStep =
    std::variant<SplitStep, DigitsStep, ByteLevelStep, BertSplitStep, MetaspaceStep, MarkerCutStep, WordsStep,
                 WhiteSpaceStep, PunctuationStep, DelimiterStep>;

/// Sends `piece` through all steps and hands what comes out to `sink`, in order. Text made on the way lives
/// in `storage`.
void pre_tokenize(const std::vector<PreTokenizerStep>& steps, const Piece& piece, PieceStorage& storage,
                  const PieceSink& sink);

}  // namespace deepspeed::text
