// What tokenizers 0.23.3 takes each code point for: tables generated from the library itself, because its
// regular expressions and Debian's ICU and PCRE2 were built with different Unicode versions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace deepspeed::text {

/// Code points first..last, both included.
struct CodePointRange {
  uint32_t first;
  uint32_t last;
};

/// A run of code points of one general category, from `first` to the next entry's.
struct CategoryRun {
  uint32_t first;
  char category[3];
};

extern const CategoryRun kCategoryRuns[];
extern const size_t kCategoryRunCount;
extern const CodePointRange kRegexSpaceRanges[];  // \s in patterns
extern const size_t kRegexSpaceRangeCount;
extern const CodePointRange kRegexWordRanges[];  // \w in patterns
extern const size_t kRegexWordRangeCount;
extern const CodePointRange kWhiteSpaceRanges[];  // what lstrip, rstrip and trim_offsets remove
extern const size_t kWhiteSpaceRangeCount;
// What makes a neighbour of a single_word token; \w of the Whitespace pre-tokenizer.
extern const CodePointRange kWordCharacterRanges[];
extern const size_t kWordCharacterRangeCount;
extern const CodePointRange kNumericRanges[];  // the Digits pre-tokenizer
extern const size_t kNumericRangeCount;

}  // namespace deepspeed::text
