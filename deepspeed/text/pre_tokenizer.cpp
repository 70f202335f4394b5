#include "deepspeed/text/pre_tokenizer.h"

#include <algorithm>

#include "deepspeed/text/byte_alphabet.h"
#include "deepspeed/text/code_point_set.h"
#include "deepspeed/text/normalizer.h"
#include "deepspeed/text/rewriting.h"
#include "deepspeed/text/unicode_tables.h"
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

// `cut(part)` hands every part to part(begin, end, is_match), as Pattern::cut.
template <typename Cut>
void split(const Piece& piece, SplitBehavior behavior, bool invert, const PieceSink& sink, const Cut& cut) {
  if (behavior == SplitBehavior::kIsolated)
    return cut([&](size_t begin, size_t end, bool) { sink(piece.slice(begin, end)); });
  if (behavior == SplitBehavior::kRemoved) {
    return cut([&](size_t begin, size_t end, bool is_match) {
      if (is_match == invert) sink(piece.slice(begin, end));
    });
  }
  std::vector<Part> parts;
  cut([&](size_t begin, size_t end, bool is_match) { parts.push_back({begin, end, is_match != invert}); });
  for (const Part& part : join(std::move(parts), behavior)) sink(piece.slice(part.begin, part.end));
}

// Each character that `is_match` knows is a match of its own.
template <typename IsMatch>
void split_at_characters(const Piece& piece, SplitBehavior behavior, const PieceSink& sink,
                         const IsMatch& is_match) {
  split(piece, behavior, false, sink, [&](const auto& part) {
    size_t begin = 0;
    for (size_t at = 0; at < piece.text.size();) {
      const size_t here = at;
      if (!is_match(next_code_point(piece.text, at))) continue;
      if (begin < here) part(begin, here, false);
      part(here, at, true);
      begin = at;
    }
    if (begin < piece.text.size()) part(begin, piece.text.size(), false);
  });
}

void run(const SplitStep& step, const Piece& piece, PieceStorage&, const PieceSink& sink) {
  split(piece, step.behavior, step.invert, sink,
        [&](const auto& part) { step.matcher.cut(piece.text, part); });
}

void run(const PunctuationStep& step, const Piece& piece, PieceStorage&, const PieceSink& sink) {
  split_at_characters(piece, step.behavior, sink, is_punctuation);
}

void run(const WhiteSpaceStep&, const Piece& piece, PieceStorage&, const PieceSink& sink) {
  split_at_characters(piece, SplitBehavior::kRemoved, sink, is_white_space);
}

void run(const DelimiterStep& step, const Piece& piece, PieceStorage&, const PieceSink& sink) {
  split_at_characters(piece, SplitBehavior::kRemoved, sink, [&](uint32_t c) { return c == step.delimiter; });
}

void run(const WordsStep&, const Piece& piece, PieceStorage&, const PieceSink& sink) {
  static const CodePointSet words(kWordCharacterRanges, kWordCharacterRangeCount);
  enum { kSpace, kWord, kOther } kind = kSpace;
  size_t begin = 0;
  for (size_t at = 0; at < piece.text.size();) {
    const size_t here = at;
    const uint32_t c = next_code_point(piece.text, at);
    const auto next = words.contains(c) ? kWord : is_white_space(c) ? kSpace : kOther;
    if (next == kind) continue;
    if (kind != kSpace) sink(piece.slice(begin, here));
    begin = here;
    kind = next;
  }
  if (kind != kSpace) sink(piece.slice(begin, piece.text.size()));
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

Piece in_byte_characters(const Piece& piece, PieceStorage& storage) {
  Rewriting out(piece, storage);
  for (size_t i = 0; i < piece.text.size(); ++i)
    out.write(byte_character(static_cast<uint8_t>(piece.text[i])), i);
  return out.result();
}

void run(const ByteLevelStep& step, const Piece& piece, PieceStorage& storage, const PieceSink& sink) {
  const bool prefix = step.add_prefix_space && !piece.text.starts_with(' ');
  const Piece text = prefix ? prepend(" ", piece, storage) : piece;
  const auto send = [&](const Piece& part) {
    sink(step.writes_characters ? in_byte_characters(part, storage) : part);
  };
  if (!step.pattern) return send(text);
  step.pattern->cut(text.text, [&](size_t begin, size_t end, bool) { send(text.slice(begin, end)); });
}

void run(const MetaspaceStep& step, const Piece& piece, PieceStorage& storage, const PieceSink& sink) {
  static const Matcher space(" ");
  Piece text = replace_matches(space, step.marker, piece, storage);
  const bool prefix = step.prepend == PrependScheme::kAlways ||
                      (step.prepend == PrependScheme::kFirst && piece.begins_input());
  if (prefix && !text.text.starts_with(step.marker)) text = prepend(step.marker, text, storage);
  if (!step.split) return sink(text);
  size_t begin = 0;
  while (begin < text.text.size()) {
    const size_t end = std::min(text.text.find(step.marker, begin == 0 ? 1 : begin + 1), text.text.size());
    sink(text.slice(begin, end));
    begin = end;
  }
}

void run(const MarkerCutStep& step, const Piece& piece, PieceStorage&, const PieceSink& sink) {
  size_t begin = 0, at = 0;
  const std::string_view text = piece.text;
  while ((at = text.find(step.marker, at)) != std::string_view::npos) {
    if (at > begin && !text.substr(begin, at - begin).ends_with(step.marker)) {
      sink(piece.slice(begin, at));
      begin = at;
    }
    at += step.marker.size();
  }
  sink(piece.slice(begin, text.size()));
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
