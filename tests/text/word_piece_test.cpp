// BERT's tokenizers against tokenizers' own (tests/parity/tokenizer/make_bert_goldens.py).
#include "deepspeed/text/word_piece.h"

#include <gmock/gmock.h>

#include <functional>

#include "deepspeed/base/error.h"
#include "golden.h"

namespace deepspeed::text {
namespace {

using nlohmann::json;

const json& digests() {
  static const json value = json::parse(golden::read("bert-digests.json"));
  return value;
}

class BertTokenizer : public ::testing::TestWithParam<std::string> {
 protected:
  const json& expected() const { return digests().at("tokenizers").at(GetParam()); }
  Tokenizer tokenizer_ = golden::tokenizer(GetParam());
};
INSTANTIATE_TEST_SUITE_P(Tokenizers, BertTokenizer, ::testing::Values("bert", "bert-cased", "bert-accents"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(BertTokenizer, SamplesHaveTheSameIdsTokensOffsetsAndDecodedText) {
  for (const auto& sample : expected().at("samples")) {
    const auto text = sample[0].get<std::string>();
    SCOPED_TRACE(sample[0].dump());
    const Encoding encoding = tokenizer_.encode(text);
    EXPECT_EQ(encoding.tokens, sample[2].get<std::vector<std::string>>());
    EXPECT_EQ(encoding.ids, sample[1].get<std::vector<int32_t>>());
    EXPECT_EQ(encoding.offsets, (sample[3].get<std::vector<std::pair<size_t, size_t>>>()));
    EXPECT_EQ(tokenizer_.decode(encoding.ids), sample[4].get<std::string>());
    EXPECT_EQ(tokenizer_.decode(encoding.ids, false), sample[5].get<std::string>());
    EXPECT_EQ(tokenizer_.encode_ids(text), tokenizer_.encode(text, false).ids);
  }
}

TEST_P(BertTokenizer, RandomMixesTheExcerptAndTheMixedTextAreTheSame) {
  golden::Crc32 crc;
  for (const auto& text : json::parse(golden::read("random.json")))
    golden::add_record(crc, tokenizer_, text.get<std::string>());
  EXPECT_EQ(crc.text(), expected().at("random").get<std::string>());
  EXPECT_EQ(golden::digest(tokenizer_, golden::read("genesis.txt")),
            expected().at("excerpt").get<std::string>());
  EXPECT_EQ(golden::digest(tokenizer_, golden::read("mixed.txt")), expected().at("mixed").get<std::string>());
}

TEST_P(BertTokenizer, EveryCodePointAloneIsTheSame) { golden::expect_code_points(tokenizer_, expected()); }

TEST_P(BertTokenizer, TheKingJamesTextIsTheSame) { golden::expect_king_james(tokenizer_, expected()); }

std::string error_with(const std::function<void(json&)>& change) {
  json document = json::parse(golden::read("bert.json"));
  change(document);
  try {
    Tokenizer::from_json(document.dump(), "tokenizer.json");
  } catch (const base::Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(BertTokenizerJson, RefusesAVocabularyWithoutTheUnknownTokenAndIdsGivenTwice) {
  EXPECT_THAT(error_with([](json& d) { d["model"]["unk_token"] = "<nothing>"; }),
              ::testing::HasSubstr("lacks the unknown token '<nothing>'"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["vocab"]["zzzz"] = 7; }),
              ::testing::HasSubstr("both have id 7"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["max_input_chars_per_word"] = -1; }),
              ::testing::HasSubstr("max_input_chars_per_word"));
  EXPECT_EQ(error_with([](json& d) { d["model"].erase("type"); }), "accepted");
}

}  // namespace
}  // namespace deepspeed::text
