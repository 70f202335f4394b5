// The keys of observe/: monitors and timers.
#include <gmock/gmock.h>

#include "deepspeed/engine/parse_config.h"
#include "errors.h"

namespace deepspeed::engine {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using ::testing::StartsWith;

DeepspeedConfig parse(const std::string& members) {
  return parse_config(config::parse_text("{\"train_batch_size\": 8,\n" + members + "}", "ds.json"), 2);
}

TEST(ObserveKeys, AreReadAndHaveDeepSpeedsDefaults) {
  const auto initial = parse("").observe;
  EXPECT_FALSE(initial.tensorboard.enabled || initial.csv_monitor.enabled || initial.wall_clock_breakdown);
  EXPECT_TRUE(initial.throughput.enabled);
  EXPECT_FALSE(initial.memory_breakdown || parse("").engine.dump_state);
  EXPECT_TRUE(parse(R"("memory_breakdown": true)").observe.memory_breakdown);
  EXPECT_TRUE(parse(R"("dump_state": true)").engine.dump_state);
  EXPECT_EQ(initial.csv_monitor.job_name, "DeepSpeedJobName");
  const auto given = parse(R"("wall_clock_breakdown": true, "timers": {"throughput": {"enabled": false}},
      "csv_monitor": {"enabled": "true", "output_path": "out", "job_name": "one"}, "tensorboard": {"enabled": true})")
                         .observe;
  EXPECT_TRUE(given.wall_clock_breakdown && given.csv_monitor.enabled && given.tensorboard.enabled);
  EXPECT_FALSE(given.throughput.enabled);
  EXPECT_EQ(given.csv_monitor.output_path, "out");
  EXPECT_EQ(given.csv_monitor.job_name, "one");
}

TEST(ObserveKeys, RefuseMonitorsThatArePythonLibraries) {
  for (const char* key : {"wandb", "comet"}) {
    EXPECT_EQ(error_of([&] { parse(fmt::format(R"("{}": {{"enabled": false, "project": "p"}})", key)); }),
              "");
    const std::string message = error_of([&] { parse(fmt::format(R"("{}": {{"enabled": true}})", key)); });
    EXPECT_THAT(message, StartsWith(std::string(key) + ".enabled"));
    EXPECT_THAT(message, HasSubstr("ds.json:2:"));
    EXPECT_THAT(message, HasSubstr("Python library"));
  }
}

TEST(ObserveKeys, KnowTheirNeighbours) {
  EXPECT_THAT(error_of([&] { parse(R"("tensorboard": {"output_pth": "x"})"); }), HasSubstr("output_path"));
  EXPECT_THAT(error_of([&] { parse(R"("comet": {"samples_log_interval": 0})"); }),
              HasSubstr("samples_log_interval"));
}

}  // namespace
}  // namespace deepspeed::engine
