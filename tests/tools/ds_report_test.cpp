#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/support/command.h"

namespace deepspeed::tools {
namespace {

using test_support::run_command;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kReport = DS_BIN_DIR "/ds_report";

class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text)
      : path_(std::filesystem::temp_directory_path() /
              ("ds_report_" + std::to_string(::getpid()) + ".json")) {
    std::ofstream(path_) << text;
  }
  ~ConfigFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

TEST(DsReport, ShowsOpsAndTheMachineInDeepSpeedsLayout) {
  const auto result = run_command({kReport});
  EXPECT_EQ(result.exit_code, 0);
  for (const char* op : {"cpu_adam", "cpu_adagrad", "cpu_lion"})
    EXPECT_THAT(result.out, ContainsRegex("\n" + std::string(op) + " \\.+ \\[YES\\] \\.+ \\[OKAY\\]"));
  EXPECT_THAT(
      result.out,
      ContainsRegex("\nasync_io \\.+ \\[YES\\] \\.+ \\[OKAY\\] \\.+ (io_uring|libaio|thread_pool)\n"));
  EXPECT_THAT(result.out, ContainsRegex("\nquantizer \\.+ \\[NO\\] \\.+ \\[NO\\]"));
  EXPECT_THAT(result.out, HasSubstr("DeepSpeed general environment info:"));
  for (const char* row : {"torch install path", "torch version", "deepspeed info", "compiler",
                          "instruction sets", "shared memory (/dev/shm) size", "cuda kernels and NCCL"})
    EXPECT_THAT(result.out, ContainsRegex("\n" + std::string(row).substr(0, 12))) << row;
  EXPECT_THAT(result.out, Not(HasSubstr("\033")));  // no colours into a file
}

TEST(DsReport, ShowsTheInstructionSetThatDispatchTakes) {
  EXPECT_THAT(run_command({kReport}, {"DS_FORCE_ISA=scalar"}).out,
              ContainsRegex("\nlayer_norm .*\\[OKAY\\] \\.+ scalar\n"));
}

TEST(DsReport, HidesWhatIsToBeHidden) {
  const auto result =
      run_command({kReport, "--hide_operator_status", "--hide_errors_and_warnings"}, {"DS_FORCE_ISA=scalar"});
  EXPECT_THAT(result.out, Not(HasSubstr("cpu_adam")));
  EXPECT_THAT(result.out, Not(HasSubstr("WARNING")));
  EXPECT_THAT(run_command({kReport}, {"DS_FORCE_ISA=scalar"}).out, HasSubstr("[WARNING]"));
}

TEST(DsReport, ExplainsEachKeyOfAConfiguration) {
  const ConfigFile config(R"({"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 3,
    "zero_optimization": {"stage": 2, "elastic_checkpoint": false},
    "bfloat16": {"enabled": true}, "gradient_clipping": "auto"})");
  const auto result =
      run_command({kReport, "--config", config.path(), "--world-size", "4"}, {"DEEPSPEED_TIMEOUT=7"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const std::string at = config.path();
  EXPECT_THAT(result.out, ContainsRegex("train_batch_size +\\| 24 +\\| derived from the other batch keys"));
  EXPECT_THAT(result.out, ContainsRegex("zero_optimization.stage +\\| 2 +\\| [^ ]+:2:27 +\\| 0: nothing is"));
  EXPECT_THAT(result.out, ContainsRegex("bf16.enabled +\\| true +\\| " + at + ":3:18"));
  EXPECT_THAT(result.out,
              ContainsRegex("gradient_clipping +\\| 1.0 +\\| " + at + ":3:36, \"auto\": the default of"));
  EXPECT_THAT(result.out, ContainsRegex("reduce_bucket_size +\\| 500000000 +\\| default"));
  EXPECT_THAT(result.out, ContainsRegex("elastic_checkpoint +\\| false .*\\| not available yet: elastic"));
  EXPECT_THAT(result.out, ContainsRegex("DEEPSPEED_TIMEOUT +\\| 7 +\\| environment"));
  EXPECT_THAT(result.out, Not(HasSubstr("\nPATH")));
  EXPECT_EQ(run_command({kReport, "--json"}).exit_code, 2);
  EXPECT_THAT(result.out, HasSubstr("warning: gradient_clipping = \"auto\""));
}

TEST(DsReport, ExplainsAConfigurationToPrograms) {
  const auto result =
      run_command({kReport, "--json", "--config", R"({"train_batch_size": 8, "zero_optimization":
    {"cpu_offload": false, "max_elements_per_comm": 5e6}})"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  std::map<std::string, nlohmann::json> keys;
  for (const auto& key : json["keys"]) keys[key["key"]] = key;
  EXPECT_EQ(keys["zero_optimization.reduce_bucket_size"]["value"], 5'000'000);
  EXPECT_EQ(keys["zero_optimization.reduce_bucket_size"]["origin"], "deprecated");
  EXPECT_EQ(keys["zero_optimization.reduce_bucket_size"]["where"], "config:2:28");
  EXPECT_EQ(keys["zero_optimization.cpu_offload"]["origin"], "deprecated");
  EXPECT_EQ(keys["train_micro_batch_size_per_gpu"]["origin"], "derived");
  EXPECT_EQ(json["warnings"].size(), 2u);
}

TEST(DsReport, EstimatesTheMemoryOfAModel) {
  const std::string model = DS_SOURCE_DIR "/tests/parity/goldens/models/gpt2";
  const auto result =
      run_command({kReport, "--estimate", model, "--num-gpus-per-node", "8", "--num-nodes", "2"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("HW: Setup with 2 nodes, 8 GPUs per node."));
  const auto t5 = run_command({kReport, "--total-params", "2851598336", "--largest-layer-params", "32899072",
                               "--num-gpus-per-node", "8"});
  EXPECT_EQ(t5.exit_code, 0) << t5.err;
  EXPECT_THAT(t5.out, HasSubstr("  127.48GB |   5.31GB | offload_optimizer=cpu \n"));
  EXPECT_THAT(t5.out,
              HasSubstr("    1.47GB |   6.10GB | offload_param=none, offload_optimizer=none, zero_init=1\n"));
  const auto empty = run_command({kReport, "--estimate", "/nonexistent"});
  EXPECT_EQ(empty.exit_code, 1);
  EXPECT_THAT(empty.err, HasSubstr("holds no weights to count"));
  EXPECT_EQ(run_command({kReport, "--num-nodes", "2"}).exit_code, 2);
  EXPECT_EQ(run_command({kReport, "--total-params", "5"}).exit_code, 2);
  EXPECT_EQ(run_command({kReport, "--estimate", model, "--config-reference"}).exit_code, 2);
}

TEST(DsReport, SaysThatRanksShareMemory) {
  EXPECT_THAT(run_command({kReport}).out, ContainsRegex("shm_comm [.]+ \\[YES\\] [.]+ \\[OKAY\\]"));
}

TEST(DsReport, NamesAMistakeInAConfigurationInOneLine) {
  const ConfigFile config("{\"train_batch_size\": 8,\n \"zero_optimisation\": {}}");
  const auto result = run_command({kReport, "--config", config.path()});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(test_support::count_lines(result.err), 1u);
  EXPECT_THAT(result.err, HasSubstr("zero_optimization"));
  EXPECT_EQ(run_command({kReport, "--config", "/nonexistent.json"}).exit_code, 1);
}

TEST(DsReport, PrintsTheReferenceOfAllKeys) {
  const auto result = run_command({kReport, "--config-reference"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("zero_optimization"));
  const auto json = nlohmann::json::parse(run_command({kReport, "--config-reference", "--json"}).out);
  EXPECT_EQ(json["keys"][0]["key"], "train_batch_size");
}

}  // namespace
}  // namespace deepspeed::tools
