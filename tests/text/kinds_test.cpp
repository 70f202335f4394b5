// Tokenizers of every kind against tokenizers' own (tests/parity/tokenizer/make_kinds.py).
#include "kinds.h"

#include <gtest/gtest.h>

#include "deepspeed/base/error.h"
#include "deepspeed/text/stream_decoder.h"

namespace deepspeed::text {
namespace {

using nlohmann::json;

std::string readable(const ::testing::TestParamInfo<std::string>& info) {
  return golden::readable_name(info.param);
}

class TokenizerKind : public ::testing::TestWithParam<std::string> {
 protected:
  Tokenizer tokenizer_ = golden::tokenizer("kinds/" + GetParam());
};
INSTANTIATE_TEST_SUITE_P(Kinds, TokenizerKind, ::testing::ValuesIn(golden::names_of("kinds")), readable);

TEST_P(TokenizerKind, RandomLinesAreTheSameInEveryFortiethBlock) {
  golden::expect_lines(tokenizer_, golden::kinds().at("kinds").at(GetParam()), 40);
}

TEST_P(TokenizerKind, StreamingGivesTheTextOfDecoding) {
  if (GetParam() == "unigram_bytes") GTEST_SKIP() << "its decoder looks at whole runs of bytes";
  golden::RandomLines lines(5);
  for (int i = 0; i < 150; ++i) {
    const auto ids = tokenizer_.encode(lines.next()).ids;
    StreamDecoder stream(tokenizer_);
    std::string text;
    for (const int32_t id : ids) {
      const std::string part = stream.put(id);
      ASSERT_EQ(find_invalid_utf8(part), std::string::npos);
      text += part;
    }
    text += stream.finish();
    ASSERT_EQ(text, tokenizer_.decode(ids));
  }
}

// The slow tests (kinds_slow_test.cpp) have the blocks that are left out here.
class TokenizerStep : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Steps, TokenizerStep, ::testing::ValuesIn(golden::names_of("steps")), readable);

TEST_P(TokenizerStep, CodePointsAndRandomLinesAreTheSame) {
  const Tokenizer tokenizer = golden::step_tokenizer(GetParam());
  const json& expected = golden::kinds().at("steps").at(GetParam());
  golden::expect_lines(tokenizer, expected.at("lines"), 40);
  for (const uint32_t stride : {43u, 61u})
    golden::expect_code_points(tokenizer, expected.at("code_points"), stride);
}

Truncation truncation_of(const json& given) {
  Truncation out;
  out.max_length = given.at("max_length").get<size_t>();
  out.stride = given.at("stride").get<size_t>();
  const std::string strategy = given.at("strategy");
  out.strategy = strategy == "only_first"    ? Truncation::Strategy::kOnlyFirst
                 : strategy == "only_second" ? Truncation::Strategy::kOnlySecond
                                             : Truncation::Strategy::kLongestFirst;
  out.from_left = given.at("direction") == "left";
  return out;
}

Padding padding_of(const json& given) {
  Padding out;
  if (!given.at("length").is_null()) out.length = given.at("length").get<size_t>();
  if (!given.at("pad_to_multiple_of").is_null())
    out.multiple_of = given.at("pad_to_multiple_of").get<size_t>();
  out.on_left = given.at("direction") == "left";
  out.id = given.at("pad_id");
  out.type_id = given.at("pad_type_id");
  out.token = given.at("pad_token");
  return out;
}

Encoding encoded(const json& given) {
  const Tokenizer tokenizer = golden::tokenizer("kinds/" + given.at("tokenizer").get<std::string>());
  EncodeOptions options;
  options.add_special_tokens = given.at("special");
  if (given.contains("truncation")) options.truncation = truncation_of(given["truncation"]);
  if (given.contains("padding")) options.padding = padding_of(given["padding"]);
  const auto first = given.at("first").get<std::string>();
  if (given.at("second").is_null()) return tokenizer.encode(first, options);
  return tokenizer.encode_pair(first, given["second"].get<std::string>(), options);
}

json columns(const Encoding& e) {
  return {e.ids, e.type_ids, e.special_tokens_mask, e.attention_mask, e.offsets, e.tokens};
}

TEST(EncodingGolden, PairsTruncationAndPaddingAreTheSame) {
  size_t refused = 0;
  for (const json& given : json::parse(golden::read("kinds/pairs.json"))) {
    SCOPED_TRACE(given.dump());
    if (given.contains("error")) {
      EXPECT_THROW(encoded(given), base::Error);
      ++refused;
      continue;
    }
    const Encoding encoding = encoded(given);
    json got = json::array({columns(encoding)});
    for (const Encoding& other : encoding.overflowing) got.push_back(columns(other));
    EXPECT_EQ(got, given.at("expected"));
  }
  EXPECT_GT(refused, 5u);
}

}  // namespace
}  // namespace deepspeed::text
