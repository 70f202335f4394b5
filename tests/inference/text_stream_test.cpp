#include "deepspeed/inference/text_stream.h"

#include <gmock/gmock.h>

#include <random>

#include "deepspeed/text/utf8.h"

namespace deepspeed::inference {
namespace {

// Tokens of letters, of single bytes of "€" (0..2) and "é" (3, 4), and a special one (9).
const text::Tokenizer& tokenizer() {
  static const auto one = text::Tokenizer::from_json(R"({
    "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
    "added_tokens": [{"id": 9, "content": "<end>", "single_word": false, "lstrip": false, "rstrip": false,
                      "normalized": false, "special": true}],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE", "merges": [],
              "vocab": {"â": 0, "Ĥ": 1, "¬": 2, "Ã": 3, "©": 4, "ab": 5, "Ġc": 6, "d": 7, "¬x": 8}}})",
                                                     "test");
  return one;
}

std::string streamed(const std::vector<int32_t>& tokens) {
  TokenText stream(&tokenizer());
  std::string text;
  for (const int32_t token : tokens) {
    const std::string piece = stream.put(token);
    EXPECT_EQ(text::find_invalid_utf8(piece), std::string::npos);
    text += piece;
  }
  return text + stream.finish();
}

TEST(TokenText, CharactersAreNeverSplit) {
  TokenText stream(&tokenizer());
  EXPECT_EQ(stream.put(5), "ab");
  EXPECT_EQ(stream.put(0), "");
  EXPECT_EQ(stream.put(1), "");
  EXPECT_EQ(stream.put(2), "€");
  EXPECT_EQ(stream.put(3), "");
  EXPECT_EQ(stream.put(4), "é");
  EXPECT_EQ(stream.put(0), "");
  EXPECT_EQ(stream.put(1), "");
  EXPECT_EQ(stream.put(8), "€x");
  EXPECT_EQ(stream.put(6), " c");
  EXPECT_EQ(stream.put(9), "");
  EXPECT_EQ(stream.put(0), "");
  EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD");
}

TEST(TokenText, RandomTokensGiveTheTextOfAllAtOnce) {
  std::mt19937 engine(5);
  for (int round = 0; round < 500; ++round) {
    std::vector<int32_t> tokens(engine() % 40);
    for (int32_t& t : tokens) t = static_cast<int32_t>(engine() % 10);
    EXPECT_EQ(streamed(tokens), tokenizer().decode(tokens));
  }
}

TEST(TokenText, EndlessBytesThatAreNoCharacterDoNotWaitForever) {
  TokenText stream(&tokenizer());
  std::string text;
  for (int i = 0; i < 100; ++i) text += stream.put(1);  // 0x82, over and over
  EXPECT_FALSE(text.empty());
}

TEST(TextStream, StopsInTheMiddleOfATokenAndWithinCharacters) {
  const auto stops = std::make_shared<StopStrings>(std::vector<std::string>{"b€", "xx"});
  TextStream stream(&tokenizer(), stops);
  EXPECT_EQ(stream.put(7), "d");
  EXPECT_EQ(stream.put(5), "a");
  EXPECT_EQ(stream.put(0), "");
  EXPECT_EQ(stream.put(1), "");
  EXPECT_FALSE(stream.stopped());
  EXPECT_EQ(stream.put(8), "");
  EXPECT_EQ(stream.stopped(), 0u);
  EXPECT_EQ(stream.put(5), "");
  EXPECT_EQ(stream.finish(), "");
}

TEST(TextStream, TheEndGivesWhatWasHeldBack) {
  const auto stops = std::make_shared<StopStrings>(std::vector<std::string>{"abab"});
  TextStream stream(&tokenizer(), stops);
  EXPECT_EQ(stream.put(5), "");
  EXPECT_EQ(stream.put(0), "");
  EXPECT_EQ(stream.finish(), "ab\xEF\xBF\xBD");
  EXPECT_FALSE(stream.stopped());
}

TEST(TextStream, WithoutATokenizerThereIsNoText) {
  TextStream stream(nullptr, std::make_shared<StopStrings>(std::vector<std::string>{}));
  EXPECT_EQ(stream.put(5), "");
  EXPECT_EQ(stream.finish(), "");
}

}  // namespace
}  // namespace deepspeed::inference
