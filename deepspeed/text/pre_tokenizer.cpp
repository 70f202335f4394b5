#include "deepspeed/text/pre_tokenizer.h"

#include <algorithm>

#include "deepspeed/text/code_point_set.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

struct Part {
  size_t begin, end;
  bool is_match;
};

// Joins matches with their neighbours. `previous_match` starts false, which lets a first match stand alone.
std::vector<Part> join(std::vector<Part> parts, SplitBehavior behavior) {
  const bool backwards = behavior == SplitBehavior::kMergedWithNext;
  if (backwards) std::reverse(parts.begin(), parts.end());
  std::vector<Part> out;
  bool previous_match = false;
  for (const Part& part : parts) {
    const bool joins = behavior == SplitBehavior::kContiguous ? part.is_match == previous_match
                                                              : part.is_match && !previous_match;
    if (joins && !out.empty()) {
      out.back().begin = std::min(out.back().begin, part.begin);
      out.back().end = std::max(out.back().end, part.end);
    } else {
      out.push_back(part);
    }
    previous_match = part.is_match;
  }
  if (backwards) std::reverse(out.begin(), out.end());
  return out;
}

void run(const SplitStep& step, const Piece& piece, PieceStorage&, const PieceSink& sink) {
  if (step.behavior == SplitBehavior::kIsolated) {
    return step.pattern.cut(piece.text,
                            [&](size_t begin, size_t end, bool) { sink(piece.slice(begin, end)); });
  }
  if (step.behavior == SplitBehavior::kRemoved) {
    return step.pattern.cut(piece.text, [&](size_t begin, size_t end, bool is_match) {
      if (is_match == step.invert) sink(piece.slice(begin, end));
    });
  }
  std::vector<Part> parts;
  step.pattern.cut(piece.text, [&](size_t begin, size_t end, bool is_match) {
    parts.push_back({begin, end, is_match != step.invert});
  });
  for (const Part& part : join(std::move(parts), step.behavior)) sink(piece.slice(part.begin, part.end));
}

void run(const DigitsStep& step, const Piece& piece, PieceStorage&, const PieceSink& sink) {
  static const CodePointSet numeric(kNumericRanges, kNumericRangeCount);
  size_t begin = 0;
  bool inside = false;
  for (size_t at = 0; at < piece.text.size();) {
    const size_t here = at;
    const bool is_digit = numeric.contains(next_code_point(piece.text, at));
    const bool cuts = is_digit != inside || (is_digit && step.individual_digits);
    if (cuts && here > begin) {
      sink(piece.slice(begin, here));
      begin = here;
    }
    inside = is_digit;
  }
  if (begin < piece.text.size()) sink(piece.slice(begin, piece.text.size()));
}

// The space shares the first character's origin.
Piece with_prefix_space(const Piece& piece, PieceStorage& storage) {
  Piece out = piece;
  out.text = storage.texts.emplace_back(" " + std::string(piece.text));
  if (piece.origin != nullptr) {
    auto& origin = storage.origins.emplace_back(piece.origin, piece.origin + piece.text.size());
    origin.insert(origin.begin(), piece.origin[0]);
    out.origin = origin.data();
  }
  return out;
}

void run(const ByteLevelStep& step, const Piece& piece, PieceStorage& storage, const PieceSink& sink) {
  const bool prefix = step.add_prefix_space && !piece.text.starts_with(' ');
  const Piece text = prefix ? with_prefix_space(piece, storage) : piece;
  if (!step.pattern) return sink(text);
  step.pattern->cut(text.text, [&](size_t begin, size_t end, bool) { sink(text.slice(begin, end)); });
}

void run(const BertSplitStep&, const Piece& piece, PieceStorage&, const PieceSink& sink) {
  split_bert(piece, sink);
}

void run_from(const std::vector<PreTokenizerStep>& steps, size_t first, const Piece& piece,
              PieceStorage& storage, const PieceSink& sink) {
  if (first == steps.size()) return sink(piece);
  const PieceSink next = first + 1 == steps.size() ? sink : PieceSink([&](const Piece& part) {
    run_from(steps, first + 1, part, storage, sink);
  });
  std::visit([&](const auto& step) { run(step, piece, storage, next); }, steps[first]);
}

}  // namespace

void pre_tokenize(const std::vector<PreTokenizerStep>& steps, const Piece& piece, PieceStorage& storage,
                  const PieceSink& sink) {
  if (!piece.text.empty()) run_from(steps, 0, piece, storage, sink);
}

}  // namespace deepspeed::text
