#include <gtest/gtest.h>

#include "golden.h"

namespace deepspeed::text {
namespace {

class TokenizerSlowGolden : public ::testing::TestWithParam<std::string> {
 protected:
  const nlohmann::json& expected() const { return golden::digests().at("tokenizers").at(GetParam()); }
  Tokenizer tokenizer_ = golden::tokenizer(GetParam());
};

class TokenizerPairs : public TokenizerSlowGolden {};
TEST_P(TokenizerPairs, EveryPairOfChosenCodePointsIsTheSame) {
  golden::expect_pairs(tokenizer_, expected(), 1);
}
INSTANTIATE_TEST_SUITE_P(Tokenizers, TokenizerPairs, ::testing::Values("gpt2", "llama3", "qwen2"),
                         [](const auto& info) { return info.param; });

class TokenizerVariants : public TokenizerSlowGolden {};
TEST_P(TokenizerVariants, EveryCodePointAloneIsTheSame) {
  golden::expect_code_points(tokenizer_, expected());
}
TEST_P(TokenizerVariants, TheKingJamesTextIsTheSame) { golden::expect_king_james(tokenizer_, expected()); }
INSTANTIATE_TEST_SUITE_P(Tokenizers, TokenizerVariants, ::testing::Values("roberta", "gpt4o"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace deepspeed::text
