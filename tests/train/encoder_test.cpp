// ds_train with encoders: masked language models, classifiers of sequences and tokens, question answerers,
// from files to what is printed and saved.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "deepspeed/base/file.h"
#include "tests/train/folder.h"

namespace deepspeed {
namespace {

using testing_support::Finished;
using testing_support::run;
using Json = nlohmann::json;
namespace fs = std::filesystem;

class EncoderTraining : public testing_support::TrainingFolder {
 protected:
  void SetUp() override {
    TrainingFolder::SetUp();
    const fs::path texts = fs::path(DS_SOURCE_DIR) / "tests/text/goldens";
    fs::create_directories(folder / "bert");
    write("bert/config.json",
          R"({"model_type": "bert", "architectures": ["BertModel"], "num_hidden_layers": 1, "hidden_size": 32,
              "intermediate_size": 48, "num_attention_heads": 2, "max_position_embeddings": 32, "vocab_size": 2000,
              "id2label": {"0": "upper", "1": "lower"}})");
    fs::copy(texts / "bert.json", folder / "bert/tokenizer.json");
    write("text.txt", base::read_text_file(texts / "genesis.txt").substr(0, 6000));
    std::string table = "text\tlabel\n", lines;
    for (int i = 0; i < 40; ++i) {
      const std::string text = i % 2 == 0 ? "the earth and the heaven" : "begat sons and daughters";
      table += text + "\t" + std::to_string(i % 2) + "\n";
      lines += Json({{"text", text},
                     {"text_pair", "day " + std::to_string(i)},
                     {"label", i % 2 == 0 ? "upper" : "lower"}})
                   .dump() +
               "\n";
    }
    write("table.tsv", table);
    write("lines.jsonl", lines);
    write(
        "ds.json",
        R"({"train_batch_size": 4, "optimizer": {"type": "AdamW", "params": {"lr": 3e-3}}, "zero_optimization": {"stage": 2}})");
  }

  std::vector<std::string> encoder(const std::string& objective, const std::string& data,
                                   std::vector<std::string> more = {}) const {
    std::vector<std::string> all = {"--model", path("bert"), "--objective", objective, "--data", path(data)};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  std::vector<double> losses(const std::vector<std::string>& command, const std::string& log) const {
    const Finished finished = run(command);
    EXPECT_EQ(finished.code, 0) << finished.output;
    std::ifstream in(path(log));
    std::vector<double> values;
    for (std::string line; std::getline(in, line);) values.push_back(Json::parse(line)["loss"]);
    return values;
  }
  void expect_refusal(const std::vector<std::string>& more, const std::string& part) const {
    const Finished finished = run(train(more));
    EXPECT_EQ(finished.code, 1) << finished.output;
    EXPECT_EQ(std::count(finished.output.begin(), finished.output.end(), '\n'), 1) << finished.output;
    EXPECT_NE(finished.output.find(part), std::string::npos) << finished.output;
  }
};

TEST_F(EncoderTraining, MaskedLanguageModelLearnsIsScoredAndExported) {
  const Finished finished =
      run(train(encoder("mlm", "text.txt",
                        {"--steps", "30", "--eval-data", path("text.txt"), "--eval-every", "10", "--export",
                         path("out"), "--log-jsonl", path("log.jsonl")})));
  ASSERT_EQ(finished.code, 0) << finished.output;
  EXPECT_NE(finished.output.find("step 30: held-out loss "), std::string::npos) << finished.output;
  EXPECT_NE(finished.output.find(" masked tokens"), std::string::npos) << finished.output;
  std::ifstream in(path("log.jsonl"));
  std::vector<Json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(Json::parse(line));
  ASSERT_EQ(lines.size(), 30u);
  EXPECT_LT(lines[29]["eval_loss"].get<double>(), lines[9]["eval_loss"].get<double>());
  const Json config = Json::parse(base::read_text_file(path("out/config.json")));
  EXPECT_EQ(config["architectures"], Json({"BertForMaskedLM"}));
  // What was exported goes on under the other objective, whose head is new.
  const Finished next = run(
      train({"--model", path("out"), "--objective", "sequence-classification", "--data", path("table.tsv")}));
  EXPECT_EQ(next.code, 0) << next.output;
  EXPECT_NE(
      next.output.find("initialised from --seed, since the weights lack them: bert.pooler.dense.weight"),
      std::string::npos)
      << next.output;
  EXPECT_NE(next.output.find("without a use here: cls.predictions.bias"), std::string::npos) << next.output;
}

TEST_F(EncoderTraining, ResumingMasksTheSameTokens) {
  const auto command = [&](const char* steps, const std::string& log, std::vector<std::string> more) {
    more.insert(more.end(), {"--steps", steps, "--log-jsonl", path(log), "-q"});
    return train(encoder("mlm", "text.txt", more));
  };
  const auto whole = losses(command("6", "whole.jsonl", {}), "whole.jsonl");
  losses(command("4", "first.jsonl", {"--save", path("saved")}), "first.jsonl");
  const auto rest = losses(command("6", "rest.jsonl", {"--load", path("saved")}), "rest.jsonl");
  ASSERT_EQ(whole.size(), 6u);
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_EQ(rest[0], whole[4]);
  EXPECT_EQ(rest[1], whole[5]);
}

TEST_F(EncoderTraining, ClassifierLearnsAndItsAccuracyIsPrinted) {
  for (const char* data : {"table.tsv", "lines.jsonl"}) {
    const Finished finished = run(
        launched(2, encoder("sequence-classification", data,
                            {"--steps", "40", "--eval-data", path(data), "--log-jsonl", path("log.jsonl")})));
    ASSERT_EQ(finished.code, 0) << finished.output;
    EXPECT_NE(finished.output.find("accuracy 100.00 % (40 of 40)"), std::string::npos) << finished.output;
    std::ifstream in(path("log.jsonl"));
    Json last;
    for (std::string line; std::getline(in, line);) last = Json::parse(line);
    EXPECT_EQ(last["eval_accuracy"], 1.0);
    EXPECT_FALSE(last.contains("eval_perplexity"));
  }
}

TEST_F(EncoderTraining, TokenClassifierAndQuestionAnswererLearnAndAreExported) {
  std::string sentences, questions;
  for (int i = 0; i < 16; ++i) {
    const bool earth = i % 2 == 0;
    sentences += Json({{"tokens", {earth ? "heaven" : "earth", "begat", "sons"}},
                       {"labels", {earth ? "upper" : "lower", "lower", "upper"}}})
                     .dump() +
                 "\n";
    questions +=
        Json({{"question", earth ? "what?" : "where?"},
              {"context", "light in water"},
              {"answers", {{"text", {earth ? "light" : "water"}}, {"answer_start", {earth ? 0 : 9}}}}})
            .dump() +
        "\n";
  }
  write("sentences.jsonl", sentences);
  write("questions.jsonl", questions);
  struct Case {
    std::string objective, data, printed, architecture;
  };
  for (const Case& c : {Case{"token-classification", "sentences.jsonl", "accuracy 100.00 % of 48 words",
                             "BertForTokenClassification"},
                        Case{"question-answering", "questions.jsonl", "100.00 % of 16 answers found exactly",
                             "BertForQuestionAnswering"}}) {
    const Finished finished = run(launched(
        2, encoder(c.objective, c.data,
                   {"--steps", "60", "--eval-data", path(c.data), "--export", path("out_" + c.objective)})));
    ASSERT_EQ(finished.code, 0) << finished.output;
    EXPECT_NE(finished.output.find(c.printed), std::string::npos) << finished.output;
    const Json config = Json::parse(base::read_text_file(folder / ("out_" + c.objective) / "config.json"));
    EXPECT_EQ(config["architectures"], Json({c.architecture}));
  }
}

TEST_F(EncoderTraining, WhatDoesNotGoTogetherIsRefusedInOneLine) {
  expect_refusal(encoder("mlm", "text.txt", {"--generate", "In the"}), "--generate");
  expect_refusal(encoder("mlm", "text.txt", {"--packing", "documents"}),
                 "--packing documents is not available yet");
  expect_refusal(encoder("mlm", "text.txt", {"--eval-baselines"}), "--eval-baselines");
  expect_refusal(encoder("clm", "text.txt"), "wants a decoder");
  expect_refusal(encoder("sequence-classification", "text.txt"), ".jsonl or .tsv");
  expect_refusal({"--objective", "sequence-classification"}, "wants an encoder");
  expect_refusal(encoder("mlm", "text.txt", {"--seq-length", "64"}), "32 positions");
  write("ugly.tsv", "a b\tugly\n");
  expect_refusal(encoder("sequence-classification", "ugly.tsv"), "ugly.tsv:1: label 'ugly'");
  expect_refusal({"--objective", "question-answering"}, "wants an encoder");
  expect_refusal(encoder("token-classification", "table.tsv"), ".jsonl or .conll");
  fs::remove(path("bert/tokenizer.json"));
  expect_refusal(encoder("mlm", "text.txt"), "tokenizer.json");
}

}  // namespace
}  // namespace deepspeed
