#include "deepspeed/inference/generation_config.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/inference/schema.h"

namespace deepspeed::inference {
namespace {

using config::Json;
namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

std::string refusal(const std::string& request, const Json& defaults = Json::object()) {
  try {
    parse_generation(Json::parse(request), defaults);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "accepted";
}

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / fmt::format("ds_generation_{}", ::getpid())) {
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  Json with(const std::string& config, const std::string& own) const {
    std::ofstream(path_ / "config.json") << config;
    fs::remove(path_ / "generation_config.json");
    if (!own.empty()) std::ofstream(path_ / "generation_config.json") << own;
    return generation_defaults(path_);
  }

 private:
  fs::path path_;
};

TEST(GenerationConfig, DefaultsAreTransformers) {
  const auto c = parse_generation(Json::object());
  EXPECT_FALSE(c.do_sample);
  EXPECT_FALSE(c.max_length || c.max_new_tokens || c.seed || c.min_p);
  EXPECT_EQ(c.top_k, 50);
  EXPECT_EQ(c.temperature, 1.0);
  EXPECT_EQ(c.top_p, 1.0);
  EXPECT_EQ(c.num_beams, 1);
  EXPECT_EQ(c.early_stopping, EarlyStopping::kFalse);
}

TEST(GenerationConfig, ReadsEveryForm) {
  const auto c = parse_generation(Json::parse(R"({
    "eos_token_id": 7, "stop_token_ids": [8, 9], "stop": "auto", "sequence_bias": [[[1, 2], 0.5], [[3], -1], [[1, 2], 2]],
    "logit_bias": {"5": -100}, "bad_words_ids": [[4], [5, 6]], "forced_eos_token_id": [1], "n": 3, "do_sample": true,
    "early_stopping": "never", "exponential_decay_length_penalty": [4, 1.5], "top_k": 0, "temperature": 0.25})"));
  EXPECT_THAT(c.eos_token_id, ElementsAre(7));
  EXPECT_THAT(c.end_tokens(), ElementsAre(8, 9, 7));
  EXPECT_THAT(c.stop_strings, ElementsAre("auto"));
  ASSERT_EQ(c.sequence_bias.size(), 2u);
  EXPECT_EQ(c.sequence_bias[0].bias, 2.0F) << "the last of equal sequences";
  EXPECT_EQ(c.logit_bias[0], (std::pair<int32_t, float>(5, -100.0F)));
  EXPECT_EQ(c.bad_words_ids[1].size(), 2u);
  EXPECT_EQ(c.num_return_sequences, 3);
  EXPECT_EQ(c.early_stopping, EarlyStopping::kNever);
  EXPECT_EQ(c.exponential_decay_length_penalty->start, 4);
  EXPECT_EQ(c.top_k, 0);
  EXPECT_TRUE(c.draws());
  EXPECT_FALSE(parse_generation({{"do_sample", true}, {"temperature", 0.0}}).draws());
}

TEST(GenerationConfig, AModelsFileSetsTheDefaultsAndARequestOverrules) {
  const Folder folder;
  const Json defaults =
      folder.with(R"({"eos_token_id": 3, "top_k": 5})",
                  R"({"do_sample": true, "temperature": 0.6, "top_k": 20, "eos_token_id": [1, 2],
                                        "max_length": 100, "min_p": null, "chat_format": "chatml",
                                        "transformers_version": "5.23.0", "cache_implementation": "hybrid"})");
  const auto plain = parse_generation(Json::object(), defaults);
  EXPECT_TRUE(plain.do_sample);
  EXPECT_EQ(plain.temperature, 0.6);
  EXPECT_EQ(plain.top_k, 20);
  EXPECT_EQ(plain.max_length, 100);
  EXPECT_THAT(plain.eos_token_id, ElementsAre(1, 2)) << "config.json is not asked where there is a file";
  const auto asked = parse_generation(
      Json::parse(
          R"({"temperature": 1.5, "top_k": null, "max_length": null, "eos_token_id": null, "use_cache": false})"),
      defaults);
  EXPECT_EQ(asked.temperature, 1.5);
  EXPECT_EQ(asked.top_k, 0) << "null switches it off, as None does";
  EXPECT_FALSE(asked.max_length);
  EXPECT_TRUE(asked.eos_token_id.empty());
  EXPECT_TRUE(asked.do_sample);
}

TEST(GenerationConfig, WithoutAFileTheModelsConfigurationIsAsked) {
  const Folder folder;
  const Json defaults = folder.with(
      R"({"eos_token_id": 3, "do_sample": true, "top_k": 7, "hidden_size": 8, "text_config": {"eos_token_id": 9, "pad_token_id": 4}})",
      "");
  const auto c = parse_generation(Json::object(), defaults);
  EXPECT_THAT(c.eos_token_id, ElementsAre(3));
  EXPECT_EQ(c.pad_token_id, 4);
  EXPECT_EQ(c.top_k, 7);
  const auto forced = parse_generation(
      Json::object(), folder.with(R"({"bos_token_id": 2, "force_bos_token_to_be_generated": true})", ""));
  EXPECT_EQ(forced.forced_bos_token_id, 2);
}

TEST(GenerationConfig, AnAliasInTheRequestOverrulesTheModelsKey) {
  EXPECT_THAT(parse_generation({{"stop", "x"}}, {{"stop_strings", {"y"}}}).stop_strings, ElementsAre("x"));
  EXPECT_THAT(refusal(R"({"stop": "x", "stop_strings": "y"})"), HasSubstr("two names of one key"));
}

TEST(GenerationConfig, WhatIsNotBuiltIsRefusedByName) {
  for (const char* request :
       {R"({"guidance_scale": 1.5})", R"({"watermarking_config": {}})", R"({"token_healing": true})",
        R"({"penalty_alpha": 0.6})", R"({"num_beam_groups": 2})", R"({"diversity_penalty": 0.5})",
        R"({"constraints": []})", R"({"force_words_ids": [[1]]})", R"({"dola_layers": "high"})",
        R"({"prompt_lookup_num_tokens": 3})", R"({"max_time": 1.0})", R"({"use_mtp": true})"}) {
    const std::string key = Json::parse(request).items().begin().key();
    EXPECT_THAT(refusal(request), HasSubstr("not available yet")) << request;
    EXPECT_THAT(refusal(request), HasSubstr(key)) << request;
    EXPECT_THAT(refusal("{}", Json::parse(request)), HasSubstr(key)) << "from a model's file " << request;
  }
  EXPECT_EQ(
      refusal(R"({"guidance_scale": 1, "num_beam_groups": 1, "diversity_penalty": 0.0, "token_healing": false,
                        "penalty_alpha": null, "watermarking_config": null})"),
      "accepted");
}

TEST(GenerationConfig, BadValuesAreOneLineThatNamesTheKey) {
  const std::pair<const char*, const char*> wrong[] = {{"temperature", "-1"},
                                                       {"temperature", "\"NaN\""},
                                                       {"temperature", "1e999"},
                                                       {"temperature", "true"},
                                                       {"top_k", "-1"},
                                                       {"top_k", "9223372036854775808"},
                                                       {"top_k", "2.5"},
                                                       {"top_p", "1.01"},
                                                       {"top_p", "-0.1"},
                                                       {"min_p", "2"},
                                                       {"top_h", "0"},
                                                       {"top_h", "1.5"},
                                                       {"typical_p", "0"},
                                                       {"typical_p", "1.1"},
                                                       {"epsilon_cutoff", "1"},
                                                       {"eta_cutoff", "-0.5"},
                                                       {"max_new_tokens", "0"},
                                                       {"max_new_tokens", "-1"},
                                                       {"max_new_tokens", "1e300"},
                                                       {"max_length", "9223372036854775807"},
                                                       {"min_new_tokens", "-3"},
                                                       {"num_beams", "0"},
                                                       {"num_beams", "1000000000"},
                                                       {"n", "1000000000"},
                                                       {"seed", "-1"},
                                                       {"logprobs", "101"},
                                                       {"repetition_penalty", "0"},
                                                       {"repetition_penalty", "-1"},
                                                       {"presence_penalty", "2.5"},
                                                       {"frequency_penalty", "-3"},
                                                       {"length_penalty", "1e9"},
                                                       {"early_stopping", "\"always\""},
                                                       {"early_stopping", "1"},
                                                       {"eos_token_id", "-1"},
                                                       {"eos_token_id", "2147483648"},
                                                       {"eos_token_id", "\"</s>\""},
                                                       {"eos_token_id", "[1, null]"},
                                                       {"sequence_bias", "[]"},
                                                       {"sequence_bias", "[[[], 1.0]]"},
                                                       {"sequence_bias", "[[[1], \"x\"]]"},
                                                       {"sequence_bias", "[[1, 1.0]]"},
                                                       {"sequence_bias", "[[[1], 1e39]]"},
                                                       {"logit_bias", "[1]"},
                                                       {"logit_bias", "{\"a\": 1}"},
                                                       {"logit_bias", "{\"-1\": 1}"},
                                                       {"logit_bias", "{\"99999999999\": 1}"},
                                                       {"logit_bias", "{\"1\": 101}"},
                                                       {"bad_words_ids", "[[]]"},
                                                       {"bad_words_ids", "[1]"},
                                                       {"suppress_tokens", "3"},
                                                       {"exponential_decay_length_penalty", "[1]"},
                                                       {"exponential_decay_length_penalty", "[1, 0]"},
                                                       {"exponential_decay_length_penalty", "[-1, 2]"},
                                                       {"stop_strings", "[\"\"]"},
                                                       {"stop_strings", "[1]"},
                                                       {"do_sample", "\"yes\""},
                                                       {"do_sample", "1"}};
  for (const auto& [key, value] : wrong) {
    Json request;
    try {
      request = Json::parse(fmt::format("{{\"{}\": {}}}", key, value));
    } catch (const Json::exception&) {
      continue;  // 1e999 is no JSON of this parser's
    }
    std::string said = "accepted";
    try {
      parse_generation(request);
    } catch (const base::Error& error) {
      said = error.what();
    }
    EXPECT_NE(said, "accepted") << key << " = " << value;
    const std::string name = std::string(key) == "n" ? "num_return_sequences" : key;
    EXPECT_TRUE(said.find(key) != std::string::npos || said.find(name) != std::string::npos) << said;
    EXPECT_EQ(said.find('\n'), std::string::npos) << said;
  }
  EXPECT_THAT(refusal(R"({"temprature": 1})"), HasSubstr("did you mean 'temperature'"));
  EXPECT_THAT(refusal("[]"), HasSubstr("must be a JSON object"));
  EXPECT_THAT(refusal(fmt::format(R"({{"stop": "{}"}})", std::string(5000, 'x'))), HasSubstr("5000 bytes"));
  Json many = {{"stop", Json::array()}};
  for (int i = 0; i < 10000; ++i) many["stop"].push_back(std::to_string(i));
  EXPECT_THAT(refusal(many.dump()), HasSubstr("10000 texts"));
}

TEST(GenerationConfig, KeysThatContradictEachOtherAreRefused) {
  EXPECT_THAT(refusal(R"({"n": 3})"), HasSubstr("all answers are the same"));
  EXPECT_THAT(refusal(R"({"n": 3, "do_sample": true, "temperature": 0})"),
              HasSubstr("all answers are the same"));
  EXPECT_THAT(refusal(R"({"n": 3, "num_beams": 2})"), HasSubstr("more than num_beams"));
  EXPECT_THAT(refusal(R"({"min_new_tokens": 3, "max_new_tokens": 2})"),
              HasSubstr("more than max_new_tokens"));
  EXPECT_THAT(refusal(R"({"exponential_decay_length_penalty": [1, 2.0]})"), HasSubstr("needs eos_token_id"));
}

TEST(GenerationConfig, TokensOutsideTheVocabularyAreRefusedWhereTheyMatter) {
  const auto error_of = [](const char* request) -> std::string {
    try {
      parse_generation(Json::parse(request)).check_tokens(10);
    } catch (const base::Error& error) {
      return error.what();
    }
    return "";
  };
  for (const char* request : {R"({"sequence_bias": [[[1, 10], 1.0]]})", R"({"logit_bias": {"10": 1}})",
                              R"({"bad_words_ids": [[10]]})", R"({"forced_bos_token_id": 10})",
                              R"({"forced_eos_token_id": [9, 10]})"})
    EXPECT_THAT(error_of(request), HasSubstr("token 10 is not in the vocabulary of 10")) << request;
  EXPECT_EQ(error_of(R"({"eos_token_id": 50256, "suppress_tokens": [50256]})"), "") << "as transformers";
}

TEST(GenerationConfig, EveryKeyHasADocLine) {
  const auto table = generation_schema().table();
  for (const auto& field : table->fields)
    EXPECT_TRUE(!field.doc_line.empty() || !field.feature.empty()) << field.key;
}

TEST(GenerationConfig, EveryKeyIsInTheDocument) {
  const std::string text = base::read_text_file(fs::path(DS_SOURCE_DIR) / "docs/generation.md");
  const auto table = generation_schema().table();
  for (const auto& field : table->fields)
    EXPECT_NE(text.find("`" + field.key + "`"), std::string::npos) << field.key;
}

}  // namespace
}  // namespace deepspeed::inference
