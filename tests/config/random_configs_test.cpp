// Configurations drawn at random, half of them broken in one place, against what DeepSpeed's own parser said
// of each (make_random_configs.py). Where we differ, a line of docs/differences.md must say so.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <map>
#include <regex>
#include <sstream>

#include "deepspeed/base/env.h"
#include "deepspeed/base/file.h"
#include "deepspeed/engine/parse_config.h"
#include "errors.h"

namespace deepspeed::engine {
namespace {

using config::Json;

constexpr int kWorldSize = 2;
constexpr const char* kOtherDraws = "DS_RANDOM_CONFIGS";  // a file of them in the golden's place

// A difference that is meant: which way it goes, what either parser says, and where it is documented.
struct Difference {
  bool real_accepts;
  const char* our_error;   // regular expression; "" where we accept
  const char* real_error;  // regular expression; "" where DeepSpeed accepts
  const char* documented;  // words of docs/differences.md
};

const std::vector<Difference>& differences() {
  static const std::vector<Difference> kDifferences{
      {true, "^unknown key '", "", "An unknown key anywhere is an error with the nearest known name"},
      {true, " must be .*, not null", "", "An explicit null is an error unless the key allows it"},
      {true, "two names of one key", "", "Two names of one key together are an error"},
      {true, "has params but no type", "", "`params` without `type` is an"},
      {true, "no such (schedule|optimizer)|the optimizer does not clip", "",
       "unknown types and `max_grad_norm` fail at parse"},
      {true, "\"auto\" (is not a value|cannot be resolved)", "",
       "\"auto\" where DeepSpeed takes it as a text is an error that names the key"},
      {false, "", "TypeError: ('>' not supported|unsupported operand)",
       "unless it can be resolved (docs/config.md)"},
      {true,
       "does not agree "
       "with|(compute_grad_norm|offload_(optimizer|param)\\.\\w+|zero_\\w+|zeropp_loco_param|mics_\\w+|bf16_"
       "master_weights_and_grads) "
       "= .* needs",
       "", "What contradicts another key fails at parse"},
      {true, "is reached through a Python library", "",
       "are accepted while off, `\"enabled\": true` is an error"},
      {true,
       "^(compile|fp16|hybrid_engine|tensor_parallel|weight_quantization|zero_optimization)\\.[^ ]+ must be "
       "a (whole number [<>]|multiple "
       "of).* = "
       "-?[0-9]",
       "", "strict blocks state fewer ranges"},
      {true,
       "^(?!(bf16|bfloat16|comet|comms_logger|compile|csv_monitor|fp16|hybrid_engine|"
       "tensor_parallel\\.(?!partition_config)\\w+|tensorboard|wandb|weight_quantization|zero_optimization)"
       "\\b)"
       "[^ ]+ must be ",
       "", "DeepSpeed takes any value at the top level and in loose blocks"},
      {true, "^optimizer\\.params\\..* has no such parameter", "",
       "A parameter that an optimizer of the type does not have"},
      {true, "^torch_autocast\\.enabled = true .* keeps parameters in fp32", "",
       "`torch_autocast` together with `fp16` or `bf16` is an error at parse"},
      {false, "", "'torch.half' is not a valid DtypeEnum", "is any name of a format (\"torch.half\" too)"},
      {false, "", "gradient_allreduce_op='sum' is not supported with ZeRO stage 3",
       "`gradient_allreduce_op: sum` works as at the other stages"},
      {false, "", "DeepSpeedConfigError: .*(removed|no longer)",
       "blocks that 0.19.8 removed are accepted while off"},
      {false, "", "dtype: Input should be an instance of dtype", "`tensor_parallel.dtype` is a word"},
      {false, "", "(Dynamic batching|Curriculum learning) is enabled, |zenflow: Value error",
       "Of a feature that is not built yet only types and ranges are checked"},
      {false, "", "max_elements_per_comm|cpu_offload_params", "`max_elements_per_comm` is taken as"},
  };
  return kDifferences;
}

struct Verdict {
  std::string error;  // "" when accepted
  std::map<std::string, Json> values;
  bool accepted() const { return error.empty(); }
  bool not_available() const { return error.starts_with("not available yet"); }
};

Verdict ask_ours(const std::string& text) {
  Verdict out;
  out.error = testing::error_of([&] {
    for (const auto& key : explain_config(config::parse_text(text, "ds.json"), kWorldSize).keys)
      out.values[key.key] = key.value;
  });
  return out;
}

class RandomConfigs : public ::testing::Test {
 protected:
  RandomConfigs() {
    const std::string path =
        base::env(kOtherDraws).value_or(DS_SOURCE_DIR "/tests/config/goldens/random_configs.jsonl");
    std::istringstream lines(base::read_text_file(path));
    for (std::string line; std::getline(lines, line);) records_.push_back(Json::parse(line));
    defaults_ = records_.back()["defaults"];
    records_.pop_back();
  }
  std::vector<Json> records_;
  Json defaults_;
};

// The row that explains why the two disagree; -1: none does.
int find_difference(const Json& record, const Verdict& ours) {
  const bool real_accepts = record["accepted"];
  const std::string real_error = record.value("error", "");
  for (size_t i = 0; i < differences().size(); ++i) {
    const Difference& d = differences()[i];
    if (d.real_accepts == real_accepts && std::regex_search(ours.error, std::regex(d.our_error)) &&
        std::regex_search(real_error, std::regex(d.real_error)))
      return static_cast<int>(i);
  }
  return -1;
}

TEST_F(RandomConfigs, AreAcceptedOrRefusedAsByDeepSpeed) {
  std::vector<int> used(differences().size());
  int agreed = 0, not_available = 0;
  for (const Json& record : records_) {
    const Verdict ours = ask_ours(record["text"]);
    if (ours.not_available()) {
      ++not_available;
    } else if (ours.accepted() == record["accepted"].get<bool>()) {
      ++agreed;
    } else if (int row = find_difference(record, ours); row >= 0) {
      ++used[row];
    } else {
      ADD_FAILURE() << record["broken"] << " " << record["text"] << "\n  ours: " << ours.error
                    << "\n  real: " << record.value("error", "accepts");
    }
  }
  fmt::print("{} configurations: {} judged alike, {} not available yet, {} differ as documented ({})\n",
             records_.size(), agreed, not_available, records_.size() - agreed - not_available,
             fmt::join(used, ", "));
  for (size_t i = 0; i < used.size() && !base::env(kOtherDraws); ++i)
    EXPECT_GT(used[i], 0) << "no draw shows this difference: " << differences()[i].documented;
}

// Values that differ as docs/differences.md says: fp32_allreduce, and "auto" that DeepSpeed keeps as a text.
bool means_something_else(const std::string& text, const std::string& key) {
  if (key == "communication_data_type") return text.find("fp32_allreduce") != std::string::npos;
  return text.find("\"" + key + "\": \"auto\"") != std::string::npos;
}

TEST_F(RandomConfigs, ResolveToTheSameValues) {
  int compared = 0;
  for (const Json& record : records_) {
    if (!record["accepted"]) continue;
    const Verdict ours = ask_ours(record["text"]);
    if (!ours.accepted()) continue;
    for (const auto& [key, initial] : defaults_.items()) {
      const Json& real = record["values"].contains(key) ? record["values"][key] : initial;
      if (means_something_else(record["text"], key)) continue;
      ++compared;
      ASSERT_TRUE(ours.values.count(key)) << key;
      EXPECT_EQ(ours.values.at(key), real) << key << " in " << record["text"];
    }
  }
  EXPECT_GT(compared, 2000);
}

TEST_F(RandomConfigs, DifferOnlyAsDocumented) {
  const std::string docs = base::read_text_file(DS_SOURCE_DIR "/docs/differences.md");
  for (const Difference& d : differences()) EXPECT_THAT(docs, ::testing::HasSubstr(d.documented));
}

TEST_F(RandomConfigs, AreHalfBrokenInEveryWay) {
  std::map<std::string, int> kinds;
  for (const Json& record : records_) ++kinds[record["broken"]];
  EXPECT_GE(records_.size(), 300u);
  EXPECT_EQ(kinds[""], static_cast<int>(records_.size() / 2));
  EXPECT_GE(kinds.size(), 15u);
}

}  // namespace
}  // namespace deepspeed::engine
