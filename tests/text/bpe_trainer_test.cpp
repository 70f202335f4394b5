#include "deepspeed/text/bpe_trainer.h"

#include <gtest/gtest.h>

#include "deepspeed/base/error.h"
#include "golden.h"

namespace deepspeed::text {
namespace {

TEST(BpeTrainer, LearnsTheMergesOfTokenizersFromTheExcerptAndMixedText) {
  BpeTrainOptions options;
  options.vocab_size = 1500;
  const std::string json =
      train_byte_level_bpe(golden::read("genesis.txt") + golden::read("mixed.txt"), options);
  EXPECT_EQ(nlohmann::ordered_json::parse(json), nlohmann::ordered_json::parse(golden::read("gpt2.json")));
}

TEST(BpeTrainer, WritesTheSameFileAsTokenizersForTheKingJamesText) {
  std::string why;
  const std::string text = golden::king_james(why);
  if (text.empty()) GTEST_SKIP() << why;
  const std::string json = train_byte_level_bpe(text);
  golden::Crc32 crc;
  crc.add(std::string_view(json));
  EXPECT_EQ(crc.text(), golden::digests().at("kjv_trained").get<std::string>());
  const Tokenizer tokenizer = Tokenizer::from_json(json, "learnt");
  EXPECT_EQ(tokenizer.vocab_size(), 8192);
  const auto ids = tokenizer.encode_ids(text);
  EXPECT_EQ(tokenizer.decode(ids), text);
}

TEST(BpeTrainer, StopsWhereNoPairIsFrequentEnough) {
  const Tokenizer tokenizer = Tokenizer::from_json(train_byte_level_bpe("abab cd"), "learnt");
  EXPECT_EQ(tokenizer.vocab_size(), 1 + 256 + 1);
  EXPECT_EQ(tokenizer.token_to_id("ab"), 257);
  EXPECT_EQ(tokenizer.token_to_id("<|endoftext|>"), 0);
}

TEST(BpeTrainer, SpecialTokensComeFirstAndOnce) {
  BpeTrainOptions options;
  options.special_tokens = {"<s>", "</s>", "<s>", "a"};
  const Tokenizer tokenizer = Tokenizer::from_json(train_byte_level_bpe("abab", options), "learnt");
  EXPECT_EQ(tokenizer.token_to_id("<s>"), 0);
  EXPECT_EQ(tokenizer.token_to_id("</s>"), 1);
  EXPECT_EQ(tokenizer.token_to_id("a"), 2);
  EXPECT_EQ(tokenizer.vocab_size(), 3 + 255 + 1);
  EXPECT_EQ(tokenizer.encode("<s>b</s>").ids.size(), 3u);
}

TEST(BpeTrainer, RefusesWhatItCannotLearnFrom) {
  EXPECT_THROW(train_byte_level_bpe(""), base::Error);
  EXPECT_THROW(train_byte_level_bpe("a\xFF"), base::Error);
  BpeTrainOptions small;
  small.vocab_size = 256;
  EXPECT_THROW(train_byte_level_bpe("text", small), base::Error);
  BpeTrainOptions empty;
  empty.special_tokens = {""};
  EXPECT_THROW(train_byte_level_bpe("text", empty), base::Error);
}

}  // namespace
}  // namespace deepspeed::text
