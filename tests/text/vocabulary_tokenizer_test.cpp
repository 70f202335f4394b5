// Tokenizers from arrays against SentencePiece and tokenizers (tests/parity/tokenizer/make_arrays.py).
#include "deepspeed/text/vocabulary_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "deepspeed/base/error.h"
#include "deepspeed/text/chars_map.h"
#include "golden.h"

namespace deepspeed::text {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const json& goldens() {
  static const json value = json::parse(golden::read("kinds/arrays.json"));
  return value;
}

TokenizerArrays arrays_of(const std::string& name) {
  const json& entry = goldens().at("entries").at(name);
  TokenizerArrays out;
  out.name = name;
  out.model = entry.at("model");
  out.pre = entry.value("pre", "");
  out.tokens = entry.at("tokens").get<std::vector<std::string>>();
  out.types = entry.at("types").get<std::vector<int32_t>>();
  if (entry.contains("scores")) out.scores = entry["scores"].get<std::vector<float>>();
  if (entry.contains("merges")) out.merges = entry["merges"].get<std::vector<std::string>>();
  if (entry.contains("charsmap"))
    out.precompiled_charsmap = decode_base64(entry["charsmap"].get<std::string>(), name);
  if (entry.contains("unknown")) out.unknown = entry["unknown"].get<int32_t>();
  if (entry.contains("bos")) out.bos = entry["bos"].get<int32_t>();
  if (entry.contains("eos")) out.eos = entry["eos"].get<int32_t>();
  if (entry.contains("separator")) out.separator = entry["separator"].get<int32_t>();
  if (entry.contains("add_space_prefix")) out.add_space_prefix = entry["add_space_prefix"].get<bool>();
  if (entry.contains("remove_extra_whitespaces"))
    out.remove_extra_whitespaces = entry["remove_extra_whitespaces"].get<bool>();
  return out;
}

class ArraysGolden : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Kinds, ArraysGolden,
                         ::testing::Values("llama", "t5", "roberta", "falcon", "bloom", "bert"),
                         [](const auto& info) { return info.param; });

TEST_P(ArraysGolden, RandomLinesHaveTheIdsOfTheOriginal) {
  const Tokenizer tokenizer = make_tokenizer(arrays_of(GetParam()));
  golden::Crc32 crc;
  for (const json& line : goldens().at("lines")) {
    const auto ids = tokenizer.encode(line.get<std::string>(), GetParam() == "bert").ids;
    crc.add(static_cast<uint32_t>(ids.size()));
    for (const int32_t id : ids) crc.add(static_cast<uint32_t>(id));
  }
  EXPECT_EQ(crc.text(), goldens().at("entries").at(GetParam()).at("lines").get<std::string>());
}

TEST(VocabularyTokenizer, PutsTheTokensAroundThatTheFileAsksFor) {
  TokenizerArrays arrays = arrays_of("llama");
  EXPECT_EQ(make_tokenizer(arrays).encode("the").ids.front(), *arrays.bos);
  EXPECT_EQ(make_tokenizer(arrays).decode(make_tokenizer(arrays).encode("the  earth\u00e9 \u4e16").ids),
            "the  earth\u00e9 \u4e16");
  arrays.add_bos = false;
  arrays.add_eos = true;
  EXPECT_EQ(make_tokenizer(arrays).encode("the").ids.back(), *arrays.eos);
  EXPECT_EQ(make_tokenizer(arrays).encode("</s>the<mask>", false).ids.front(), *arrays.eos);
}

TEST(VocabularyTokenizer, UnusedTokensAreOnlyStepsOnTheWay) {
  TokenizerArrays arrays;
  arrays.name = "f.gguf";
  arrays.model = "llama";
  arrays.tokens = {"<unk>", "a", "b", "ab", "c", "abc"};
  arrays.scores = {0, -4, -5, -1, -6, -2};
  arrays.types = {2, 1, 1, 5, 1, 1};
  arrays.unknown = 0;
  arrays.add_bos = false;
  arrays.add_space_prefix = false;
  EXPECT_EQ(make_tokenizer(arrays).encode("abc").ids, (std::vector<int32_t>{5}));
  EXPECT_EQ(make_tokenizer(arrays).encode("abab").ids, (std::vector<int32_t>{1, 2, 1, 2}));
  EXPECT_EQ(make_tokenizer(arrays).encode("xya").ids, (std::vector<int32_t>{0, 1}));
}

TEST(VocabularyTokenizer, WhatDoesNotFitIsRefused) {
  const auto error_of = [](const std::function<void(TokenizerArrays&)>& change,
                           const std::string& kind = "llama") {
    TokenizerArrays arrays = arrays_of(kind);
    arrays.name = "f.gguf";
    change(arrays);
    try {
      make_tokenizer(arrays);
    } catch (const base::Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(error_of([](auto& a) { a.model = "rwkv"; }),
              HasSubstr("f.gguf: the tokenizer model 'rwkv' is not supported"));
  EXPECT_THAT(error_of([](auto& a) { a.scores.pop_back(); }), HasSubstr("scores for"));
  EXPECT_THAT(error_of([](auto& a) { a.types.pop_back(); }), HasSubstr("token types for"));
  EXPECT_THAT(error_of([](auto& a) { a.types[1] = 9; }), HasSubstr("token 1 has the unknown type 9"));
  EXPECT_THAT(error_of([](auto& a) { a.tokens[5] = a.tokens[6]; }), HasSubstr("both read"));
  EXPECT_THAT(error_of([](auto& a) { a.tokens[5] = "\xFF"; }), HasSubstr("not UTF-8"));
  EXPECT_THAT(error_of([](auto& a) { a.bos = 99999; }), HasSubstr("the special token 99999"));
  EXPECT_THAT(error_of([](auto& a) { a.bos.reset(); }), HasSubstr("there is no first token"));
  EXPECT_THAT(error_of([](auto& a) { a.tokens.clear(); }), HasSubstr("a vocabulary of 0 tokens"));
  EXPECT_THAT(error_of([](auto& a) { a.pre = "deepseek-v9"; }, "roberta"),
              HasSubstr("pre-tokenizer 'deepseek-v9' is not supported"));
  EXPECT_THAT(error_of([](auto& a) { a.merges[0] = "ab"; }, "roberta"), HasSubstr("has no space"));
  EXPECT_THAT(error_of([](auto& a) { a.precompiled_charsmap = "ab"; }, "t5"), HasSubstr("character map"));
}

TEST(VocabularyTokenizer, EveryKnownPreTokenizerCompiles) {
  EXPECT_GE(known_pre_tokenizers().size(), 20u);
  for (const std::string& pre : known_pre_tokenizers()) {
    TokenizerArrays arrays = arrays_of("roberta");
    arrays.pre = pre;
    const Tokenizer tokenizer = make_tokenizer(arrays);
    EXPECT_EQ(tokenizer.decode(tokenizer.encode_ids("Hi, 12345 caf\u00e9!")), "Hi, 12345 caf\u00e9!") << pre;
  }
}

}  // namespace
}  // namespace deepspeed::text
