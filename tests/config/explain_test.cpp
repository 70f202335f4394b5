// Where the value of each key comes from.
#include "deepspeed/config/explain.h"

#include <gmock/gmock.h>

#include "deepspeed/engine/parse_config.h"

namespace deepspeed::engine {
namespace {

using config::Explained;
using config::Origin;
using ::testing::HasSubstr;

class Explain : public ::testing::Test {
 protected:
  void explain(const std::string& text, const AutoFacts& facts = {}) {
    report_ = explain_config(config::parse_text(text, "ds.json"), 2, facts);
  }
  const Explained* find(const std::string& key) const {
    for (const Explained& row : report_.keys)
      if (row.key == key) return &row;
    return nullptr;
  }
  const Explained& row(const std::string& key) const {
    const Explained* found = find(key);
    if (!found) throw std::runtime_error("no row " + key);
    return *found;
  }

  ConfigReport report_;
};

TEST_F(Explain, NamesFileLineAndColumn) {
  explain("{\"train_batch_size\": 8,\n \"zero_optimization\": {\"stage\": \"2\"}}");
  EXPECT_EQ(row("zero_optimization.stage").value, 2);  // as the program has it
  EXPECT_EQ(row("zero_optimization.stage").source, "ds.json:2:24");
  EXPECT_EQ(row("gradient_clipping").origin, Origin::kDefault);
  EXPECT_EQ(row("gradient_clipping").value, 1.0);
}

TEST_F(Explain, TellsAliasesDeprecatedKeysAndOldForms) {
  explain(R"({"train_batch_size": 8, "fp32_allreduce": true, "bfloat16": {"enabled": true},
    "zero_optimization": {"prefetch_bucket_size": 10, "max_elements_per_comm": 100, "cpu_offload": false}})");
  EXPECT_EQ(row("bf16.enabled").value, true);
  EXPECT_EQ(row("zero_optimization.stage3_prefetch_bucket_size").source,
            "ds.json:2:27, 'prefetch_bucket_size' is another name of this key");
  EXPECT_EQ(row("zero_optimization.reduce_bucket_size").value, 100);
  EXPECT_EQ(row("zero_optimization.reduce_bucket_size").source,
            "ds.json:2:55, 'max_elements_per_comm' is its deprecated form");
  EXPECT_EQ(row("communication_data_type").value, "fp32");
  EXPECT_THAT(row("zero_optimization.cpu_offload").source,
              HasSubstr("deprecated; this value leaves 'offload_optimizer' as it is"));
  explain(R"({"train_batch_size": 8, "zero_optimization": true})");
  EXPECT_EQ(row("zero_optimization.stage").value, 1);
  EXPECT_EQ(row("zero_optimization.stage").where, "ds.json:1:25");
}

TEST_F(Explain, TellsWhatFollowsFromOtherKeys) {
  explain(R"({"train_batch_size": 8, "optimizer": {"type": "AdamW", "params": {"torch_adam": true}}})");
  EXPECT_EQ(row("train_micro_batch_size_per_gpu").value, 4);
  EXPECT_EQ(row("train_micro_batch_size_per_gpu").source,
            "derived from the other batch keys and the number of ranks");
  EXPECT_EQ(row("optimizer.params.weight_decay").value, 0.01);
  EXPECT_EQ(row("optimizer.params.weight_decay").origin, Origin::kDerived);
}

TEST_F(Explain, TellsWhatAutoStandsFor) {
  AutoFacts facts;
  facts.hidden_size = 10;
  constexpr const char* kText =
      R"({"train_batch_size": 8, "zero_optimization": {"stage": "auto", "reduce_bucket_size": "auto"}})";
  explain(kText, facts);
  EXPECT_EQ(row("zero_optimization.reduce_bucket_size").value, 100);
  EXPECT_THAT(row("zero_optimization.reduce_bucket_size").source,
              HasSubstr("\"auto\": from the model's hidden size 10"));
  EXPECT_EQ(row("zero_optimization.stage").source, "ds.json:1:47, \"auto\": the default");
  explain(kText);
  EXPECT_THAT(row("zero_optimization.reduce_bucket_size").source,
              HasSubstr("\"auto\": the default, because the model's hidden size is not known"));
}

TEST_F(Explain, FollowsTheScheduleThatTheTypePicks) {
  explain(R"({"train_batch_size": 8, "scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 7}}})");
  EXPECT_EQ(row("scheduler.params.warmup_num_steps").value, 7);
  EXPECT_EQ(row("scheduler.params.warmup_type").value, "log");
  EXPECT_EQ(find("scheduler.params.cycle_min_lr"), nullptr);
}

TEST_F(Explain, ShowsFeaturesToComeOnlyWhereTheFileHasThem) {
  explain(R"({"train_batch_size": 8, "flops_profiler": {"enabled": false}})");
  EXPECT_EQ(row("flops_profiler.enabled").field->feature, "the flops profiler");
  EXPECT_EQ(find("flops_profiler.profile_step"), nullptr);
  EXPECT_EQ(find("aio.use_gds"), nullptr);
}

}  // namespace
}  // namespace deepspeed::engine
