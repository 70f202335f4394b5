// Bad input: one clear line and a non-zero exit, never a crash or a hang.
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "deepspeed/base/file.h"
#include "tests/train/folder.h"

namespace deepspeed {
namespace {

namespace fs = std::filesystem;
using testing_support::Finished;
using testing_support::run;

class BadInput : public testing_support::TrainingFolder {
 protected:
  // The program must end with 1 or 2 (not a signal) and its last line must hold every one of `words`.
  void expect_refusal(const std::vector<std::string>& command, const std::vector<std::string>& words) {
    const Finished finished = run(command);
    EXPECT_TRUE(finished.code == 1 || finished.code == 2) << finished.code << "\n" << finished.output;
    std::string text = finished.output;
    while (!text.empty() && text.back() == '\n') text.pop_back();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 0) << "more than one line:\n" << text;
    for (const auto& word : words)
      EXPECT_NE(text.find(word), std::string::npos) << "'" << word << "' is not in: " << text;
  }
  void spoil_weights(const std::function<void(std::string&)>& change) {
    std::string bytes = base::read_text_file(path("model/model.safetensors"));
    change(bytes);
    write("model/model.safetensors", bytes);
  }
  // Replaces text in the safetensors header by text of the same length.
  void rename_in_header(const std::string& from, const std::string& to) {
    ASSERT_EQ(from.size(), to.size());
    spoil_weights([&](std::string& bytes) {
      const size_t at = bytes.find(from);
      ASSERT_NE(at, std::string::npos) << from;
      bytes.replace(at, from.size(), to);
    });
  }
};

TEST_F(BadInput, MissingConfig) {
  expect_refusal({bin("ds_train"), "--model", path("model"), "--data", path("data.bin"), "--deepspeed_config",
                  path("none.json")},
                 {"none.json"});
}

TEST_F(BadInput, WeightsThatCannotBeReadAreNotPassedOver) {
  fs::rename(path("model/model.safetensors"), path("model/pytorch_model.bin"));
  expect_refusal(train(), {"pytorch_model.bin", "is not a PyTorch file"});
  fs::remove(path("model/pytorch_model.bin"));
  fs::create_symlink("../gone", path("model/model.safetensors"));
  expect_refusal(train(), {"model.safetensors", "cannot be read as weights"});
}

TEST_F(BadInput, FlagsWithoutEffect) {
  expect_refusal(train({"--save-every", "2"}), {"--save-every needs --save"});
  expect_refusal(train({"--eval-every", "2"}), {"--eval-every needs --eval-data"});
  expect_refusal(train({"--eval-baselines"}), {"--eval-baselines needs --eval-data"});
  expect_refusal(train({"--load-tag", "x"}), {"--load-tag needs --load"});
}

TEST_F(BadInput, APipeForALog) {
  ASSERT_EQ(::mkfifo(path("log").c_str(), 0600), 0);
  expect_refusal(train({"--log-jsonl", path("log")}), {"log", "is a pipe"});
}

TEST_F(BadInput, MalformedConfig) {
  write("ds.json", "{\n  \"train_batch_size\": 2,\n  \"optimizer\": {\"type\" \"Adam\"}\n}");
  expect_refusal(train(), {"ds.json:3:"});
}

TEST_F(BadInput, UnknownKey) {
  write("ds.json", R"({"train_batch_size": 2, "zero_optimisation": {"stage": 1}})");
  expect_refusal(train(), {"zero_optimisation", "zero_optimization", "ds.json:1:"});
}

TEST_F(BadInput, ImpossibleBatchSizes) {
  write(
      "ds.json",
      R"({"train_batch_size": 7, "train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2, "optimizer": {"type": "Adam"}})");
  expect_refusal(train(), {"7", "2"});
}

TEST_F(BadInput, WrongEnum) {
  write("ds.json",
        R"({"train_batch_size": 2, "optimizer": {"type": "Adam"}, "zero_optimization": {"stage": 7}})");
  expect_refusal(train(), {"stage", "7"});
}

TEST_F(BadInput, NotYetAvailable) {
  expect_refusal(train({"--objective", "question-answering"}), {"question-answering", "encoder", "gpt2"});
  expect_refusal(train({"--objective", "mlm"}), {"mlm", "encoder", "gpt2"});
  write(
      "ds.json",
      R"({"train_batch_size": 2, "optimizer": {"type": "Adam"}, "zero_optimization": {"stage": 3, "elastic_checkpoint": true}})");
  expect_refusal(train(), {"not available yet", "elastic_checkpoint"});
}

TEST_F(BadInput, TruncatedWeights) {
  spoil_weights([](std::string& bytes) { bytes.resize(bytes.size() / 2); });
  expect_refusal(train(), {"model.safetensors"});
}

TEST_F(BadInput, OversizedHeaderOfWeights) {
  spoil_weights([](std::string& bytes) {
    const uint64_t length = uint64_t{1} << 60;
    std::memcpy(bytes.data(), &length, sizeof length);
  });
  expect_refusal(train(), {"model.safetensors"});
}

TEST_F(BadInput, OverlappingWeights) {
  spoil_weights([](std::string& bytes) {
    // The second tensor starts where the first does: "data_offsets":[N, becomes [0,
    const size_t first = bytes.find("\"data_offsets\":[0,"),
                 second = bytes.find("\"data_offsets\":[", first == std::string::npos ? 0 : first + 10);
    ASSERT_NE(second, std::string::npos);
    for (size_t i = second + 16; bytes[i] != ','; ++i) bytes[i] = i == second + 16 ? '0' : ' ';
  });
  expect_refusal(train(), {"model.safetensors"});
}

TEST_F(BadInput, MissingWeight) {
  rename_in_header("ln_f.weight", "ln_g.weight");
  expect_refusal(train(), {"ln_f.weight"});
}

TEST_F(BadInput, MisshapenWeight) {
  std::string config = base::read_text_file(path("model/config.json"));
  const size_t at = config.find("\"vocab_size\": ");
  ASSERT_NE(at, std::string::npos);
  config.insert(at + 14, "1");  // 1xxx instead of xxx
  write("model/config.json", config);
  expect_refusal(train(), {"wte.weight", "shape"});
}

TEST_F(BadInput, MissingTokenizer) {
  write("book.txt", "In the beginning");
  expect_refusal(train({"--eval-data", path("book.txt")}), {"tokenizer.json", "ds_tokenizer train"});
}

TEST_F(BadInput, TokenOutsideTheVocabulary) {
  std::string bytes = base::read_text_file(path("data.bin"));
  bytes[101] = '\x7f';
  write("data.bin", bytes);
  expect_refusal(train(), {"position 50", "vocabulary"});
}

TEST_F(BadInput, DataShorterThanOneSample) {
  write("data.bin", std::string(20, '\0'));
  expect_refusal(train(), {"10 tokens", "32"});
}

TEST_F(BadInput, UnknownArchitectureAndDamagedConfigJson) {
  write("model/config.json", R"({"model_type": "perceptron"})");
  expect_refusal(train(), {"perceptron", "gpt2"});
  write("model/config.json", "{");
  expect_refusal(train(), {"config.json"});
  write("model/config.json", R"({"model_type": "gpt2", "n_embd": 99999999999999999})");
  expect_refusal(train(), {"n_embd"});
  write("model/config.json", R"({"model_type": "gpt2", "n_embd": 48, "n_head": 7})");
  expect_refusal(train(), {"7 heads"});
}

TEST_F(BadInput, NothingToResumeFrom) { expect_refusal(train({"--load", path("nowhere")}), {"nowhere"}); }

TEST_F(BadInput, WrongFlags) {
  expect_refusal({bin("ds_train"), "--modle", "x"}, {"--model"});
  expect_refusal(train({"--data-dtype", "u8"}), {"u8"});
  EXPECT_EQ(run({bin("ds_train"), "--modle", "x"}).code, 2);
}

TEST_F(BadInput, NumbersOutOfRangeAreNamedShortly) {
  for (const char* flag : {"--eval-every", "--save-every", "--seed", "--steps"}) {
    const Finished finished = run(train({flag, "-1"}));
    EXPECT_EQ(finished.code, 2) << finished.output;
    EXPECT_LT(finished.output.size(), 160u) << finished.output;
    EXPECT_NE(finished.output.find(flag), std::string::npos) << finished.output;
  }
  expect_refusal(train({"--seed", "18446744073709551616"}), {"--seed", "18446744073709551615"});
}

TEST_F(BadInput, TextThatIsNotUtf8) {
  write("book.txt", "In the beginning\xff");
  fs::copy(fs::path(DS_SOURCE_DIR) / "tests/text/goldens/gpt2.json", path("model/tokenizer.json"));
  expect_refusal(train({"--eval-data", path("book.txt")}), {"book.txt", "UTF-8"});
}

TEST_F(BadInput, EveryRankSaysOneLineAndTheLauncherSaysWhich) {
  write("ds.json", R"({"train_batch_size": 3, "optimizer": {"type": "Adam"}})");
  const Finished finished = run(launched(2));
  EXPECT_EQ(finished.code, 1) << finished.output;
  EXPECT_NE(finished.output.find("rank"), std::string::npos);
}

}  // namespace
}  // namespace deepspeed
