#include "deepspeed/text/utf8.h"

#include <gtest/gtest.h>

#include "deepspeed/base/error.h"

namespace deepspeed::text {
namespace {

constexpr size_t kValid = std::string_view::npos;

TEST(Utf8, EveryCodePointSurvivesWritingAndReading) {
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_code_point(text, c);
    ASSERT_EQ(find_invalid_utf8(text), kValid) << c;
    ASSERT_EQ(utf8_length(text[0]), text.size());
    size_t at = 0, end = text.size();
    ASSERT_EQ(next_code_point(text, at), c);
    ASSERT_EQ(at, text.size());
    ASSERT_EQ(previous_code_point(text, end), c);
    ASSERT_EQ(end, 0u);
  }
}

TEST(Utf8, MalformedSequencesAreFoundWhereTheyStart) {
  EXPECT_EQ(find_invalid_utf8("plain ascii text of some length"), kValid);
  EXPECT_EQ(find_invalid_utf8("0123456789\x80"), 10u);
  EXPECT_EQ(find_invalid_utf8("a\xC0\x80"), 1u) << "overlong";
  EXPECT_EQ(find_invalid_utf8("a\xE0\x9F\xBF"), 1u) << "overlong";
  EXPECT_EQ(find_invalid_utf8("\xED\xA0\x80"), 0u) << "surrogate";
  EXPECT_EQ(find_invalid_utf8("\xF4\x90\x80\x80"), 0u) << "beyond U+10FFFF";
  EXPECT_EQ(find_invalid_utf8("ab\xE2\x82"), 2u) << "cut short";
}

TEST(Utf8, LossyTextHasOneReplacementForEachMaximalInvalidPart) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(utf8_lossy("ok \xC3\xA9"), "ok \xC3\xA9");
  EXPECT_EQ(utf8_lossy("a\xE2\x82z"), "a" + r + "z");
  EXPECT_EQ(utf8_lossy("\xF0\x9F\x92"), r);
  EXPECT_EQ(utf8_lossy("\xF0\x80\x80"), r + r + r);
  EXPECT_EQ(utf8_lossy("\xED\xA0\x80"), r + r + r);
  EXPECT_EQ(utf8_lossy("\xC3\xC3\xA9"), r + "\xC3\xA9");
}

TEST(Utf8, AnErrorNamesTheTextAndTheByte) {
  try {
    check_utf8("ab\xFF", "corpus.txt");
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_STREQ(error.what(), "corpus.txt: byte 2 (0xff) is not UTF-8; convert the text to UTF-8 first");
  }
}

TEST(Utf8, QuotedTextIsShortAndOnOneLine) {
  EXPECT_EQ(quote("a\nb\x7F\xFF"), "'a\\x0ab\\x7f\xEF\xBF\xBD'");
  EXPECT_LT(quote(std::string(1000, 'x')).size(), 90u);
}

}  // namespace
}  // namespace deepspeed::text
