#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "deepspeed/base/error.h"
#include "golden.h"

namespace deepspeed::text {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

json small() {
  return json::parse(R"({"version": "1.0", "added_tokens": [], "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
    "post_processor": null, "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "Ġ": 5, "?": 6},
              "merges": ["a b", "ab c"]}})");
}

json added(const char* content, int id) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

Tokenizer load(const json& document) { return Tokenizer::from_json(document.dump(), "t.json"); }

std::string error_of(const std::string& text) {
  try {
    Tokenizer::from_json(text, "t.json");
  } catch (const base::Error& error) {
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    return error.what();
  }
  return "no error";
}
std::string error_of(const json& document) { return error_of(document.dump()); }

std::string error_with(const char* pointer, const json& value) {
  json document = small();
  document[json::json_pointer(pointer)] = value;
  return error_of(document);
}

TEST(TokenizerJson, BothSpellingsOfMergesMeanTheSame) {
  json pairs = small();
  pairs["model"]["merges"] = json::parse(R"([["a", "b"], ["ab", "c"]])");
  for (const json& document : {small(), pairs}) {
    EXPECT_THAT(load(document).encode("abcab a").ids, ElementsAre(4, 3, 5, 0));
  }
}

TEST(TokenizerJson, AModelWithoutTypeAndWithEmptyAffixesIsOldBpe) {
  json document = small();
  document["model"].erase("type");
  document["model"]["continuing_subword_prefix"] = "";
  document["model"]["end_of_word_suffix"] = "";
  document["model"]["unk_token"] = "";
  EXPECT_THAT(load(document).encode("abc").ids, ElementsAre(4));
}

TEST(TokenizerJson, BytesThatTheVocabularyLacksVanishOrBecomeTheUnknownToken) {
  json document = small();
  EXPECT_THAT(load(document).encode("axyb").ids, ElementsAre(3));
  document["model"]["unk_token"] = "?";
  EXPECT_THAT(load(document).encode("axyb").ids, ElementsAre(0, 6, 6, 1));
  document["model"]["fuse_unk"] = true;
  const Encoding fused = load(document).encode("axyb");
  EXPECT_THAT(fused.ids, ElementsAre(0, 6, 1));
  EXPECT_EQ(fused.offsets[1], (std::pair<size_t, size_t>(1, 3)));
  document["model"]["unk_token"] = "missing";
  EXPECT_THROW(load(document).encode("x"), base::Error);
}

TEST(TokenizerJson, IgnoreMergesTakesWholePiecesFromTheVocabulary) {
  json document = small();
  document["model"]["vocab"]["ba"] = 7;
  EXPECT_THAT(load(document).encode("ba").ids, ElementsAre(1, 0));
  document["model"]["ignore_merges"] = true;
  EXPECT_THAT(load(document).encode("ba").ids, ElementsAre(7));
}

TEST(TokenizerJson, IdsTokensAndSizes) {
  json document = small();
  document["added_tokens"] = {added("<x>", 7), added("abc", 4)};
  const Tokenizer tokenizer = load(document);
  EXPECT_EQ(tokenizer.vocab_size(), 8);
  EXPECT_EQ(tokenizer.max_id(), 7);
  EXPECT_EQ(tokenizer.token_to_id("<x>"), 7);
  EXPECT_EQ(tokenizer.token_to_id("nothing"), std::nullopt);
  EXPECT_EQ(tokenizer.id_to_token(3), "ab");
  EXPECT_THROW(tokenizer.id_to_token(99), base::Error);
  const std::vector<int32_t> ids = {0, 99, -1, 7, 1};
  EXPECT_EQ(tokenizer.decode(ids), "ab");
  EXPECT_EQ(tokenizer.decode(ids, false), "a<x>b");
}

TEST(TokenizerJson, AnAddedTokenHasTheIdThatTokenizersGivesIt) {
  json document = small();
  document["added_tokens"] = json::array({added("<x>", 42)});  // a bare {json} is a copy to clang
  EXPECT_EQ(load(document).token_to_id("<x>"), 7);
  document["model"]["vocab"]["c"] = 7;
  EXPECT_THAT(error_of(document), HasSubstr("added token '<x>' would get id 7, which 'c' has"));
}

TEST(TokenizerJson, ThreadsShareOneTokenizer) {
  const Tokenizer tokenizer = golden::tokenizer("llama3");
  const std::string text = golden::read("mixed.txt");
  const std::vector<int32_t> want = tokenizer.encode_ids(text);
  std::vector<std::vector<int32_t>> got(4);
  std::vector<std::thread> threads;
  for (auto& ids : got) threads.emplace_back([&] { ids = tokenizer.encode_ids(text); });
  for (auto& thread : threads) thread.join();
  for (const auto& ids : got) EXPECT_EQ(ids, want);
}

TEST(TokenizerJson, TextThatIsNotUtf8IsRefused) {
  const Tokenizer tokenizer = load(small());
  EXPECT_THROW(tokenizer.encode("a\xFF"), base::Error);
  EXPECT_THROW(tokenizer.encode_ids("a\xC3"), base::Error);
  EXPECT_TRUE(tokenizer.encode("").ids.empty());
  EXPECT_EQ(tokenizer.decode({}), "");
}

TEST(TokenizerJson, MalformedFilesSayWhereTheyAreWrong) {
  EXPECT_THAT(error_of(std::string("{\"model\": ")),
              HasSubstr("t.json: not valid JSON: parse error at line 1, column"));
  EXPECT_THAT(error_of(std::string("[1]")), HasSubstr("must hold an object"));
  EXPECT_THAT(error_of(std::string("{}")), HasSubstr("t.json: 'model' is missing"));
  EXPECT_THAT(error_with("/model/vocab", json::array()),
              HasSubstr("model.vocab must be an object, not array"));
  EXPECT_THAT(error_with("/model/vocab/b", "1"), HasSubstr("model.vocab['b'] must be a token id"));
  EXPECT_THAT(error_with("/model/vocab/b", -1),
              HasSubstr("must be a token id from 0 to 2147483647, not '-1'"));
  EXPECT_THAT(error_with("/model/vocab/b", 4294967296), HasSubstr("must be a token id"));
  EXPECT_THAT(error_with("/model/vocab/b", 1.5), HasSubstr("must be a token id"));
  EXPECT_THAT(error_with("/model/vocab/b", 0), HasSubstr("both have id 0"));
  EXPECT_THAT(error_with("/model/merges/1", "ab x"), HasSubstr("model.merges[1] ('ab', 'x') needs 'x'"));
  EXPECT_THAT(error_with("/model/merges/1", "b a"), HasSubstr("needs 'ba', which model.vocab lacks"));
  EXPECT_THAT(error_with("/model/merges/1", "a b c"), HasSubstr("model.merges[1] must be two tokens"));
  EXPECT_THAT(error_with("/model/merges/1", json::array({"a"})),
              HasSubstr("model.merges[1] must hold two tokens"));
  EXPECT_THAT(error_with("/model/merges/1", 7), HasSubstr("model.merges[1] must be a string, not number"));
  EXPECT_THAT(error_with("/model/merges", "a b"), HasSubstr("model.merges must be an array"));
  EXPECT_THAT(error_with("/added_tokens", {{{"id", 1}}}), HasSubstr("added_tokens[0]: 'content' is missing"));
  EXPECT_THAT(error_with("/pre_tokenizer/add_prefix_space", "no"),
              HasSubstr("must be true or false, not string"));
}

TEST(TokenizerJson, WhatIsNotBuiltIsRefusedByName) {
  EXPECT_THAT(error_with("/version", "2.0"), HasSubstr("version"));
  EXPECT_THAT(error_with("/model/type", "WordLevel"), HasSubstr("model type 'WordLevel' is not supported"));
  EXPECT_THAT(error_with("/model/byte_fallback", true),
              HasSubstr("byte_fallback behind ByteLevel is not supported"));
  EXPECT_THAT(error_with("/model/dropout", 0.1), HasSubstr("dropout"));
  EXPECT_THAT(error_with("/model/end_of_word_suffix", "</w>"), HasSubstr("end_of_word_suffix"));
  EXPECT_THAT(error_with("/normalizer", {{"type", "ByteLevel"}}),
              HasSubstr("normalizer 'ByteLevel' is not supported"));
  EXPECT_THAT(error_with("/pre_tokenizer", {{"type", "UnicodeScripts"}}),
              HasSubstr("pre_tokenizer 'UnicodeScripts' is not supported"));
  EXPECT_THAT(error_with("/post_processor", {{"type", "Else"}}),
              HasSubstr("post_processor 'Else' is not supported"));
  EXPECT_THAT(error_with("/decoder", {{"type", "CTC"}}), HasSubstr("decoder 'CTC' is not supported"));
  const json split = {
      {"type", "Split"}, {"pattern", {{"Regex", "^a"}}}, {"behavior", "Isolated"}, {"invert", false}};
  EXPECT_THAT(
      error_with("/pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split}}}),
      HasSubstr("t.json: pre_tokenizer.pretokenizers[0].pattern.Regex: the pattern '^a' has a bare '^'"));
}

TEST(TokenizerJson, ATemplateNeedsItsTokens) {
  json part = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
  json post = {{"type", "TemplateProcessing"},
               {"single", {part}},
               {"pair", json::array()},
               {"special_tokens", json::object()}};
  EXPECT_THAT(error_with("/post_processor", post), HasSubstr("special_tokens: '<s>' is missing"));
  post["special_tokens"]["<s>"] = {{"id", "<s>"}, {"ids", {77}}, {"tokens", {"<s>"}}};
  EXPECT_THAT(error_with("/post_processor", post), HasSubstr("no token has id 77"));
  post["special_tokens"]["<s>"]["ids"] = {1, 2};
  EXPECT_THAT(error_with("/post_processor", post), HasSubstr("ids and tokens differ in number"));
  post["single"] = {{{"Sequence", {{"id", "B"}, {"type_id", 0}}}}};
  EXPECT_THAT(error_with("/post_processor", post), HasSubstr("a template that does not hold each text once"));
  post["single"] = {{{"Sequence", {{"id", "C"}, {"type_id", 0}}}}};
  EXPECT_THAT(error_with("/post_processor", post), HasSubstr("must be 'A' or 'B', not 'C'"));
}

TEST(TokenizerJson, HostileFilesNeitherCrashNorHang) {
  EXPECT_THAT(error_of(std::string(200000, '[')), HasSubstr("not valid JSON"));
  json nested = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  for (int i = 0; i < 1000; ++i) nested = {{"type", "Sequence"}, {"pretokenizers", json::array({nested})}};
  EXPECT_THAT(error_with("/pre_tokenizer", nested), HasSubstr("pre_tokenizer 'Sequence'"));
  EXPECT_EQ(load([] {
              json document = small();
              document["model"]["vocab"]["far"] = 2147483647;
              return document;
            }())
                .max_id(),
            2147483647);
  EXPECT_THAT(error_of(std::string("{\"model\": {\"vocab\": {\"\xFF\": 0}}}")), HasSubstr("not valid JSON"));
  EXPECT_THROW(Tokenizer::from_file("/nonexistent/tokenizer.json"), base::Error);
}

TEST(TokenizerJson, LongPiecesAreMergedInReasonableTime) {
  const Tokenizer tokenizer = golden::tokenizer("gpt2");
  const std::string word(1'000'000, 'e');
  EXPECT_EQ(tokenizer.decode(tokenizer.encode_ids(word)), word);
}

}  // namespace
}  // namespace deepspeed::text
