#include <gtest/gtest.h>

#include "golden.h"

namespace deepspeed::text {
namespace {

class TokenizerGolden : public ::testing::TestWithParam<std::string> {
 protected:
  const nlohmann::json& expected() const { return golden::digests().at("tokenizers").at(GetParam()); }
  Tokenizer tokenizer_ = golden::tokenizer(GetParam());
};

TEST_P(TokenizerGolden, SamplesHaveTheSameIdsTokensOffsetsAndDecodedText) {
  const auto samples = nlohmann::json::parse(golden::read(GetParam() + ".samples.json"));
  ASSERT_EQ(samples.size(), 80u);
  for (const auto& sample : samples) {
    const auto text = sample[0].get<std::string>();
    SCOPED_TRACE(sample[0].dump());
    const Encoding encoding = tokenizer_.encode(text);
    EXPECT_EQ(encoding.tokens, sample[2].get<std::vector<std::string>>());
    ASSERT_EQ(encoding.ids, sample[1].get<std::vector<int32_t>>());
    EXPECT_EQ(encoding.offsets, (sample[3].get<std::vector<std::pair<size_t, size_t>>>()));
    EXPECT_EQ(tokenizer_.decode(encoding.ids), sample[4].get<std::string>());
    EXPECT_EQ(tokenizer_.decode(encoding.ids, false), sample[5].get<std::string>());
    EXPECT_EQ(tokenizer_.encode_ids(text), tokenizer_.encode(text, false).ids);
  }
}

TEST_P(TokenizerGolden, RandomMixesOfWordsMarksAndAddedTokensAreTheSame) {
  golden::Crc32 crc;
  for (const auto& text : nlohmann::json::parse(golden::read("random.json"))) {
    golden::add_record(crc, tokenizer_, text.get<std::string>());
  }
  EXPECT_EQ(crc.text(), expected().at("random").get<std::string>());
}

TEST_P(TokenizerGolden, TheExcerptAndTheMixedTextAreTheSame) {
  EXPECT_EQ(golden::digest(tokenizer_, golden::read("genesis.txt")),
            expected().at("excerpt").get<std::string>());
  EXPECT_EQ(golden::digest(tokenizer_, golden::read("mixed.txt")), expected().at("mixed").get<std::string>());
}

// The slow tests (golden_slow_test.cpp) have what is left out here: two more tokenizers, and all pairs.
class TokenizerWholeGolden : public TokenizerGolden {};

TEST_P(TokenizerWholeGolden, EveryCodePointAloneIsTheSame) {
  golden::expect_code_points(tokenizer_, expected());
}

TEST_P(TokenizerWholeGolden, TheKingJamesTextIsTheSame) { golden::expect_king_james(tokenizer_, expected()); }

TEST_P(TokenizerWholeGolden, PairsOfChosenCodePointsAreTheSameInEverySixteenthBlock) {
  golden::expect_pairs(tokenizer_, expected(), 16);
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, TokenizerWholeGolden, ::testing::Values("gpt2", "llama3", "qwen2"),
                         [](const auto& info) { return info.param; });

INSTANTIATE_TEST_SUITE_P(Tokenizers, TokenizerGolden,
                         ::testing::Values("gpt2", "llama3", "qwen2", "roberta", "gpt4o"),
                         [](const auto& info) { return info.param; });

TEST(Crc32, IsThatOfZlib) {
  golden::Crc32 crc;
  crc.add(std::string_view("123456789"));
  EXPECT_EQ(crc.text(), "cbf43926");
}

}  // namespace
}  // namespace deepspeed::text
