#include "deepspeed/text/pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "deepspeed/base/error.h"
#include "golden.h"

namespace deepspeed::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Matches in brackets.
std::vector<std::string> cut(const Pattern& pattern, std::string_view text) {
  std::vector<std::string> out;
  pattern.cut(text, [&](size_t begin, size_t end, bool is_match) {
    const std::string part(text.substr(begin, end - begin));
    out.push_back(is_match ? "[" + part + "]" : part);
  });
  return out;
}
std::vector<std::string> cut(const char* pattern, std::string_view text) {
  return cut(Pattern(pattern, "test"), text);
}

std::string error_of(const char* pattern) {
  try {
    Pattern(pattern, "file: pattern");
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

TEST(Pattern, Gpt2SplitsContractionsWordsNumbersAndSpaces) {
  const Pattern gpt2(kGpt2Pattern, "test");
  EXPECT_THAT(cut(gpt2, "I'll  pay $12\n\n now"),
              ElementsAre("[I]", "['ll]", "[ ]", "[ pay]", "[ $]", "[12]", "[\n\n]", "[ now]"));
  EXPECT_THAT(cut(gpt2, "été Ⅷ"), ElementsAre("[été]", "[ Ⅷ]"));
}

TEST(Pattern, OffsetsAreBytesAlsoWhereLettersAreLonger) {
  EXPECT_THAT(cut("b+", "ébbü中b😀"), ElementsAre("é", "[bb]", "ü中", "[b]", "😀"));
}

TEST(Pattern, ClassesRangesNegationAndEscapes) {
  EXPECT_THAT(cut(R"([a-c\-\]]+)", "xab-]cz"), ElementsAre("x", "[ab-]c]", "z"));
  EXPECT_THAT(cut(R"([^\s\p{L}]+)", "ab12 cd!"), ElementsAre("ab", "[12]", " cd", "[!]"));
  EXPECT_THAT(cut(R"(\x41|\u0042|\x{43})", "ABCD"), ElementsAre("[A]", "[B]", "[C]", "D"));
  EXPECT_THAT(cut(R"(\P{Lu}+)", "aBc"), ElementsAre("[a]", "B", "[c]"));
  EXPECT_THAT(cut(R"(\p{^Lu}+)", "aBc"), ElementsAre("[a]", "B", "[c]"));
  EXPECT_THAT(cut("a.", "a\nab"), ElementsAre("a\n", "[ab]"));
  EXPECT_THAT(cut("[一-龥]+", "a中文b"), ElementsAre("a", "[中文]", "b"));
}

TEST(Pattern, CaseFoldingIsThatOfOniguruma) {
  EXPECT_THAT(cut("(?i:'s|k)", "'S 'ſ K 's"), ElementsAre("['S]", " ", "['ſ]", " ", "[K]", " ", "['s]"));
  EXPECT_THAT(cut("(?i:[sd])x", "Sxdxſx"), ElementsAre("[Sx]", "[dx]", "[ſx]"));
}

TEST(Pattern, QuantifiersGroupsAndLookaround) {
  EXPECT_THAT(cut("a{2,3}", "aaaaa"), ElementsAre("[aaa]", "[aa]"));
  EXPECT_THAT(cut("ba{,2}", "baaab"), ElementsAre("[baa]", "a", "[b]"));
  EXPECT_THAT(cut("a+?b", "aab"), ElementsAre("[aab]"));
  EXPECT_THAT(cut("(?:ab)+|(?<=x)y|z(?!z)", "ababxyzz"), ElementsAre("[abab]", "x", "[y]", "z", "[z]"));
  EXPECT_THAT(cut(R"(\s+(?!\S)|\s+)", "a   b  "), ElementsAre("a", "[  ]", "[ ]", "b", "[  ]"));
}

TEST(Pattern, ATextIsTakenAsItIs) {
  EXPECT_THAT(cut(Pattern::of_text("a.b", "test"), "a.bxaxb"), ElementsAre("[a.b]", "xaxb"));
}

TEST(Pattern, WhatTheEnginesReadDifferentlyIsRefusedByName) {
  EXPECT_THAT(error_of("^a"), HasSubstr("a bare '^' at byte 0"));
  EXPECT_THAT(error_of(R"(\bword)"), HasSubstr("the escape '\\b'"));
  EXPECT_THAT(error_of("[a&&b]"), HasSubstr("a class intersection"));
  EXPECT_THAT(error_of("[[:alpha:]]"), HasSubstr("a POSIX bracket"));
  EXPECT_THAT(error_of("a{2}+"), HasSubstr("a quantifier after a quantifier"));
  EXPECT_THAT(error_of("a{2}?"), HasSubstr("a quantifier after a quantifier"));
  EXPECT_THAT(error_of("(?i)a"), HasSubstr("a group option"));
  EXPECT_THAT(error_of("(?>a)"), HasSubstr("a group option"));
  EXPECT_THAT(error_of("(?:ab?){2}"), HasSubstr("a counted group"));
  EXPECT_THAT(error_of("(?i:ss)"), HasSubstr("ligature"));
  EXPECT_THAT(error_of("(?i:é)"), HasSubstr("non-ASCII"));
  EXPECT_THAT(error_of(R"(\p{Greek})"), HasSubstr("the property 'Greek'"));
  EXPECT_THAT(error_of("(a"), HasSubstr("a '(' without ')'"));
  EXPECT_THAT(error_of("a)"), HasSubstr("a ')' without '('"));
  EXPECT_THAT(error_of("a*"), HasSubstr("can match nothing at all"));
  EXPECT_THAT(error_of("(a)\\1"), HasSubstr("the escape '\\1'"));
  EXPECT_THAT(error_of("a{1,100000}"), HasSubstr("more than 1000"));
  EXPECT_THAT(error_of("[z-a]"), HasSubstr("a malformed range"));
  EXPECT_THAT(error_of(std::string(200, '(').c_str()), HasSubstr("too many nested groups"));
}

TEST(Pattern, RandomPatternsCutAsTokenizersDoesOrAreRefused) {
  size_t same = 0;
  for (const auto& row : nlohmann::json::parse(golden::read("patterns.json"))) {
    const auto pattern = row[0].get<std::string>();
    std::vector<std::string> pieces;
    try {
      const auto text = row[1].get<std::string>();
      Pattern(pattern, "test").cut(text, [&](size_t begin, size_t end, bool) {
        pieces.push_back(text.substr(begin, end - begin));
      });
    } catch (const base::Error&) {  // most often: it can match nothing at all
      continue;
    }
    EXPECT_EQ(pieces, row[2].get<std::vector<std::string>>()) << row.dump();
    ++same;
  }
  EXPECT_GT(same, 500u);
}

TEST(Pattern, ExponentialBacktrackingEndsInAnError) {
  const Pattern slow(R"((?:a|aa)+(?:\d|b))", "file: pattern");
  EXPECT_THROW(cut(slow, std::string(60, 'a')), base::Error);
}

TEST(Pattern, LongRunsNeedNoStack) {
  const std::string spaces(3'000'000, ' ');
  EXPECT_THAT(cut(Pattern(kGpt2Pattern, "test"), spaces + "a").size(), 2u);
  const std::string words(100'000, 'x');
  EXPECT_THAT(cut("(?:[xy]|[xz])+", words).size(), 1u);
}

}  // namespace
}  // namespace deepspeed::text
