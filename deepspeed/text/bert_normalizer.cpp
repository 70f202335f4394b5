#include "deepspeed/text/bert_normalizer.h"

#include <algorithm>

#include "deepspeed/text/bert_tables.h"
#include "deepspeed/text/code_point_set.h"
#include "deepspeed/text/nfc.h"
#include "deepspeed/text/rewriting.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

constexpr uint32_t kCapitalDottedI = 0x130, kCombiningDot = 0x307;

const CodePointSet& removed() {
  static const CodePointSet set(kBertRemovedRanges, kBertRemovedRangeCount);
  return set;
}
const CodePointSet& spaces() {
  static const CodePointSet set(kBertSpaceRanges, kBertSpaceRangeCount);
  return set;
}
const CodePointSet& ideographs() {
  static const CodePointSet set(kBertIdeographRanges, kBertIdeographRangeCount);
  return set;
}
const CodePointSet& accents() {
  static const CodePointSet set(kBertAccentRanges, kBertAccentRangeCount);
  return set;
}
const CodePointSet& separators() {
  static const CodePointSet set(kBertSeparatorRanges, kBertSeparatorRangeCount);
  return set;
}
const CodePointSet& punctuation() {
  static const CodePointSet set(kBertPunctuationRanges, kBertPunctuationRangeCount);
  return set;
}

uint32_t lower_case(uint32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
  const LowerCaseRun* const end = kLowerCaseRuns + kLowerCaseRunCount;
  const auto* run =
      std::lower_bound(kLowerCaseRuns, end, c, [](const LowerCaseRun& r, uint32_t p) { return r.last < p; });
  if (run == end || c < run->first || (c - run->first) % run->step != 0) return c;
  return static_cast<uint32_t>(static_cast<int64_t>(c) + run->delta);
}

Piece clean(const BertNormalizerStep& step, const Piece& piece, PieceStorage& storage) {
  Rewriting out(piece, storage);
  for (uint32_t c = 0; out.read(c);) {
    if (step.clean_text) {
      if (removed().contains(c)) continue;
      if (spaces().contains(c)) c = ' ';
    }
    const bool apart = step.handle_chinese_chars && ideographs().contains(c);
    if (apart) out.write(' ');
    out.write(c);
    if (apart) out.write(' ');
  }
  return out.result();
}

Piece without_accents(const Piece& piece, PieceStorage& storage) {
  const Piece decomposed = normalize_form(NormalizationForm::kD, piece, storage);
  Rewriting out(decomposed, storage);
  for (uint32_t c = 0; out.read(c);)
    if (!accents().contains(c)) out.write(c);
  return out.result();
}

}  // namespace

Piece in_lower_case(const Piece& piece, PieceStorage& storage) {
  Rewriting out(piece, storage);
  for (uint32_t c = 0; out.read(c);) {
    out.write(c == kCapitalDottedI ? 'i' : lower_case(c));
    if (c == kCapitalDottedI) out.write(kCombiningDot);
  }
  return out.result();
}

bool is_punctuation(uint32_t c) { return punctuation().contains(c); }

Piece normalize_bert(const BertNormalizerStep& step, const Piece& piece, PieceStorage& storage) {
  Piece out = piece;
  if (step.clean_text || step.handle_chinese_chars) out = clean(step, out, storage);
  if (step.strip_accents) out = without_accents(out, storage);
  if (step.lowercase) out = in_lower_case(out, storage);
  return out;
}

void split_bert(const Piece& piece, const PieceSink& sink) {
  size_t begin = 0;
  const auto cut = [&](size_t end) {
    if (begin < end) sink(piece.slice(begin, end));
    begin = end;
  };
  for (size_t at = 0; at < piece.text.size();) {
    const size_t here = at;
    const uint32_t c = next_code_point(piece.text, at);
    if (separators().contains(c)) {
      cut(here);
      begin = at;
    } else if (punctuation().contains(c)) {
      cut(here);
      cut(at);
    }
  }
  cut(piece.text.size());
}

}  // namespace deepspeed::text
