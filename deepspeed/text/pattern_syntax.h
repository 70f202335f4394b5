// The part of Oniguruma's pattern language that tokenizer.json files use, taken apart into sets of code
// points and the operators between them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/text/code_point_set.h"

namespace deepspeed::text {

struct PatternItem {
  std::string operators;  // text that Oniguruma and PCRE2 read alike: groups, alternation, quantifiers
  int set = -1;           // or one code point out of sets[set]
};

struct PatternSyntax {
  std::vector<PatternItem> items;
  std::vector<CodePointSet> sets;
};

/// Understood: literals, '.', classes, \p{category}, \s \S \d \D \w \W, \r \n \t \f \v \a \e \xHH \x{H}
/// \uHHHH, groups (plain, ?:, ?i: on ASCII, lookahead, lookbehind), and the quantifiers on which both
/// engines agree. Whatever else is in `pattern` is an Error that names `where`, the construct and its
/// position.
PatternSyntax parse_pattern(std::string_view pattern, std::string_view where);

}  // namespace deepspeed::text
