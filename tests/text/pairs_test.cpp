#include <gtest/gtest.h>

#include "golden.h"

namespace deepspeed::text {
namespace {

class TokenizerPairs : public ::testing::TestWithParam<std::string> {};

TEST_P(TokenizerPairs, EveryPairOfChosenCodePointsIsTheSame) {
  const Tokenizer tokenizer = golden::tokenizer(GetParam());
  const auto& pairs = golden::digests().at("tokenizers").at(GetParam()).at("pairs");
  ASSERT_EQ(pairs.size() * golden::digests().at("rows_per_digest").get<size_t>(), 2000u);
  ASSERT_EQ(golden::digests().at("chosen").size(), 2000u);
  for (size_t block = 0; block < pairs.size(); ++block) {
    ASSERT_EQ(golden::pairs_digest(tokenizer, block), pairs[block].get<std::string>()) << "block " << block;
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, TokenizerPairs, ::testing::Values("gpt2", "llama3", "qwen2"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace deepspeed::text
