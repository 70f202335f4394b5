#include <gtest/gtest.h>

#include "kinds.h"

namespace deepspeed::text {
namespace {

class TokenizerKindWhole : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Kinds, TokenizerKindWhole, ::testing::ValuesIn(golden::names_of("kinds")),
                         [](const auto& info) { return info.param; });

TEST_P(TokenizerKindWhole, AHundredThousandRandomLinesAreTheSame) {
  golden::expect_lines(golden::tokenizer("kinds/" + GetParam()), golden::kinds().at("kinds").at(GetParam()),
                       1);
}

class TokenizerStepWhole : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Steps, TokenizerStepWhole, ::testing::ValuesIn(golden::names_of("steps")),
                         [](const auto& info) { return golden::readable_name(info.param); });

TEST_P(TokenizerStepWhole, EveryCodePointAndTwentyThousandRandomLinesAreTheSame) {
  const Tokenizer tokenizer = golden::step_tokenizer(GetParam());
  const auto& expected = golden::kinds().at("steps").at(GetParam());
  golden::expect_lines(tokenizer, expected.at("lines"), 1);
  golden::expect_code_points(tokenizer, expected.at("code_points"), 1);
}

}  // namespace
}  // namespace deepspeed::text
