// ds_train over the kinds of data it reads: lines, pairs, Megatron datasets; resuming, dropping, evaluating.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "deepspeed/base/file.h"
#include "tests/train/folder.h"

namespace deepspeed {
namespace {

using testing_support::Finished;
using testing_support::run;
using Json = nlohmann::json;
namespace fs = std::filesystem;

class TrainingData : public testing_support::TrainingFolder {
 protected:
  void SetUp() override {
    TrainingFolder::SetUp();
    // A byte-level tokenizer whose ids are those of the model: 256 bytes and the end of text.
    ASSERT_EQ(run({bin("ds_tokenizer"), "train", "--input", corpus(), "--vocab-size", "257",
                   "--special-token", "<|endoftext|>", "--output", path("model/tokenizer.json")})
                  .code,
              0);
  }
  std::string corpus() {
    write("corpus.txt", "In the beginning God created the heaven and the earth.\n");
    return path("corpus.txt");
  }
  std::vector<std::string> train_on(const std::string& data, std::vector<std::string> more = {}) const {
    auto command = train({"--log-jsonl", path("log.jsonl"), "-q"});
    command[4] = path(data);
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }
  std::vector<Json> log(const std::string& name = "log.jsonl") const {
    std::ifstream in(path(name));
    std::vector<Json> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(Json::parse(line));
    return lines;
  }
  std::vector<double> losses(const std::vector<std::string>& command) const {
    fs::remove(path("log.jsonl"));
    const Finished finished = run(command);
    EXPECT_EQ(finished.code, 0) << finished.output;
    std::vector<double> values;
    for (const auto& line : log()) values.push_back(line["loss"]);
    return values;
  }
  // A configuration that leaves the model as it is.
  std::string frozen() {
    write("frozen.json", R"({"train_batch_size": 2, "optimizer": {"type": "AdamW", "params": {"lr": 0}}})");
    return path("frozen.json");
  }
  void write_pairs() {
    std::string lines;
    for (int i = 0; i < 20; ++i)
      lines += Json({{"prompt", "count " + std::to_string(i)},
                     {"response", std::string(static_cast<size_t>(i), 'a')}})
                   .dump() +
               "\n";
    write("pairs.jsonl", lines);
  }
  // data.bin of the folder as a Megatron dataset of documents of 50 tokens.
  void write_megatron() {
    const std::string tokens = base::read_text_file(path("data.bin")).substr(0, 4000);
    const uint64_t version = 1, sequences = tokens.size() / 100, marks = sequences + 1;
    std::string index("MMIDIDX\0\0", 9);
    const auto add = [&](const auto& value) {
      index.append(reinterpret_cast<const char*>(&value), sizeof value);
    };
    add(version), add(uint8_t{8}), add(sequences), add(marks);
    for (uint64_t i = 0; i < sequences; ++i) add(int32_t{50});
    for (uint64_t i = 0; i < sequences; ++i) add(static_cast<int64_t>(i * 100));
    for (uint64_t i = 0; i < marks; ++i) add(static_cast<int64_t>(i));
    write("megatron.idx", index);
    write("megatron.bin", tokens);
    write("plain.bin", tokens);
  }
};

TEST_F(TrainingData, PairsArePackedAndTheirPromptsMasked) {
  write_pairs();
  auto command = train_on("pairs.jsonl", {"--steps", "3"});
  command.erase(std::find(command.begin(), command.end(), "-q"));
  const Finished finished = run(command);
  ASSERT_EQ(finished.code, 0) << finished.output;
  EXPECT_NE(finished.output.find("pairs.jsonl: 20 documents in "), std::string::npos) << finished.output;
  EXPECT_EQ(log().size(), 3u);
  // One a sample: with a sequence each, learning only from responses.
  EXPECT_EQ(losses(train_on("pairs.jsonl", {"--packing", "single"})).size(), 2u);
}

TEST_F(TrainingData, PackedOrOneASampleTheLossIsThatOfTheSameTokens) {
  // Two documents of equal length: a packed sample's loss is the mean of theirs alone.
  write("docs.jsonl", "{\"text\": \"In the beginn\"}\n{\"text\": \"ing God creat\"}\n");
  write("ds.json", R"({"train_micro_batch_size_per_gpu": 2, "optimizer": {"type": "AdamW"}})");
  const auto apart = losses(train_on("docs.jsonl", {"--packing", "single", "--steps", "1", "--no-shuffle"}));
  write("ds.json", R"({"train_micro_batch_size_per_gpu": 1, "optimizer": {"type": "AdamW"}})");
  const auto packed = losses(train_on("docs.jsonl", {"--packing", "documents", "--steps", "1"}));
  const auto stream = losses(train_on("docs.jsonl", {"--seq-length", "28", "--steps", "1"}));
  EXPECT_NEAR(apart[0], packed[0], 1e-5);
  EXPECT_GT(std::abs(stream[0] - packed[0]), 1e-4);  // there the second document sees the first
}

TEST_F(TrainingData, MegatronDataTrainsAsTheSameTokensDo) {
  write_megatron();
  const auto plain = losses(train_on("plain.bin"));
  for (const char* name : {"megatron.bin", "megatron.idx", "megatron"})
    EXPECT_EQ(losses(train_on(name)), plain);
  EXPECT_EQ(losses(train_on("megatron", {"--packing", "documents", "--seq-length", "64"})).size(), 2u);
}

TEST_F(TrainingData, WorkersChangeNoLoss) {
  const auto none = losses(train_on("data.bin", {"--steps", "6", "--data-workers", "0"}));
  EXPECT_EQ(losses(train_on("data.bin", {"--steps", "6", "--data-workers", "4"})), none);
}

TEST_F(TrainingData, ResumesWithinAnEpochAndOnAnotherNumberOfRanks) {
  // 10 samples, an epoch of 5 steps of 2: the third step of the second epoch is where the second run begins.
  write("ds.json", R"({"train_batch_size": 2, "optimizer": {"type": "AdamW", "params": {"lr": 1e-3}}})");
  write("data.bin", base::read_text_file(path("data.bin")).substr(0, 10 * 32 * 2));
  const auto whole = losses(train_on("data.bin", {"--steps", "10"}));
  ASSERT_EQ(whole.size(), 10u);
  losses(train_on("data.bin", {"--steps", "7", "--save", path("ckpt")}));
  const auto alone = losses(train_on("data.bin", {"--steps", "10", "--load", path("ckpt")}));
  ASSERT_EQ(
      run(launched(2, {"--steps", "10", "--load", path("ckpt"), "-q", "--log-jsonl", path("two.jsonl")}))
          .code,
      0);
  const auto two = log("two.jsonl");
  ASSERT_EQ(two.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(alone[i], whole[7 + i]) << i;
    EXPECT_NEAR(two[i]["loss"], whole[7 + i], 1e-4) << i;
  }
}

TEST_F(TrainingData, DropLastEndsAnEpochWithItsLastFullMicroBatch) {
  const std::string config =
      R"({"train_micro_batch_size_per_gpu": 2, "dataloader_drop_last": %, "optimizer": {"type": "AdamW", "params": {"lr": 0}}})";
  write("data.bin", base::read_text_file(path("data.bin")).substr(0, 5 * 32 * 2));
  const auto with = [&](const char* value) {
    std::string text = config;
    write("ds.json", text.replace(text.find('%'), 1, value));
    return losses(train_on("data.bin", {"--no-shuffle", "--steps", "4"}));
  };
  const auto dropped = with("true"), kept = with("false");
  ASSERT_EQ(dropped.size() + kept.size(), 8u);
  EXPECT_EQ(dropped[2], dropped[0]);  // five samples: two steps an epoch
  EXPECT_EQ(dropped[3], dropped[1]);
  EXPECT_EQ(kept[1], dropped[1]);
  EXPECT_NE(kept[2], dropped[0]);  // samples 4 and 0
}

TEST_F(TrainingData, EvaluationsArePrintedAndLogged) {
  write_pairs();
  auto command =
      train_on("data.bin", {"--steps", "5", "--eval-data", path("pairs.jsonl"), "--eval-every", "2"});
  command.erase(std::find(command.begin(), command.end(), "-q"));
  const Finished finished = run(command);
  ASSERT_EQ(finished.code, 0) << finished.output;
  for (const char* line : {"step 2: held-out loss ", "step 4: held-out loss ", "step 5: held-out loss "})
    EXPECT_NE(finished.output.find(line), std::string::npos) << finished.output;
  const auto lines = log();
  ASSERT_EQ(lines.size(), 5u);
  for (size_t i : {1u, 3u, 4u}) {
    EXPECT_GT(lines[i]["eval_loss"].get<double>(), 0);
    EXPECT_NEAR(lines[i]["eval_perplexity"].get<double>(), std::exp(lines[i]["eval_loss"].get<double>()),
                1e-6);
  }
  EXPECT_FALSE(lines[0].contains("eval_loss"));
  // As many ranks as there are samples share the work and find the same.
  ASSERT_EQ(run(launched(2, {"--steps", "1", "--eval-data", path("pairs.jsonl"), "-q", "--log-jsonl",
                             path("two.jsonl"), "--deepspeed_config", frozen()}))
                .code,
            0);
  const auto one = train_on(
      "data.bin", {"--steps", "1", "--eval-data", path("pairs.jsonl"), "--deepspeed_config", frozen()});
  losses(one);
  EXPECT_NEAR(log("two.jsonl")[0]["eval_loss"], log()[0]["eval_loss"], 1e-5);
}

TEST_F(TrainingData, WrongDataIsRefusedInOneLine) {
  const auto refusal = [&](const std::string& data, std::vector<std::string> more = {}) {
    const Finished finished = run(train_on(data, std::move(more)));
    EXPECT_EQ(finished.code, 1) << finished.output;
    EXPECT_EQ(std::count(finished.output.begin(), finished.output.end(), '\n'), 1) << finished.output;
    return finished.output;
  };
  const auto expect = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  write("other.jsonl", "{\"text\": \"a\"}\n{\"question\": \"q\", \"answer\": \"a\"}\n");
  expect(refusal("other.jsonl"), "other.jsonl:2: no field 'text'");
  write_megatron();
  write("megatron.idx", base::read_text_file(path("megatron.idx")).substr(0, 100));
  expect(refusal("megatron.bin"), "cut short");
  expect(refusal("data.bin", {"--packing", "documents"}), "does not say where its documents begin");
  expect(refusal("data.bin", {"--packing", "tight"}), "--packing 'tight'");
  expect(refusal("nothing.csv"), ".jsonl");
}

}  // namespace
}  // namespace deepspeed
