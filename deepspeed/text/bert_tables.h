// What tokenizers' BertNormalizer and BertPreTokenizer take each code point for: generated from the library
// itself, as unicode_tables.h.
#pragma once

#include "deepspeed/text/unicode_tables.h"

namespace deepspeed::text {

/// Code points first, first + step, ... last become their neighbours `delta` away in lower case.
struct LowerCaseRun {
  uint32_t first, last, step;
  int32_t delta;
};

extern const CodePointRange kBertRemovedRanges[];  // clean_text leaves them out
extern const size_t kBertRemovedRangeCount;
extern const CodePointRange kBertSpaceRanges[];  // clean_text makes them spaces
extern const size_t kBertSpaceRangeCount;
extern const CodePointRange kBertIdeographRanges[];  // handle_chinese_chars sets them apart
extern const size_t kBertIdeographRangeCount;
extern const CodePointRange kBertAccentRanges[];  // strip_accents leaves them out, once decomposed
extern const size_t kBertAccentRangeCount;
extern const CodePointRange kBertSeparatorRanges[];  // between words, and part of none
extern const size_t kBertSeparatorRangeCount;
extern const CodePointRange kBertPunctuationRanges[];  // words of their own
extern const size_t kBertPunctuationRangeCount;
/// Of all but U+0130, which becomes two.
extern const LowerCaseRun kLowerCaseRuns[];
extern const size_t kLowerCaseRunCount;

}  // namespace deepspeed::text
