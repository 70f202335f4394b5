// Monitors, progress lines and timings against what the real DeepSpeed left for the same runs
// (tests/observe/goldens).
#include "deepspeed/engine/engine_report.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <regex>

#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "tests/engine/tiny.h"

namespace deepspeed::engine {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
const fs::path kGoldens = DS_SOURCE_DIR "/tests/observe/goldens";

// The model of tests/observe/oracle.py.
struct Weights : torch::nn::Module {
  at::Tensor weights = register_parameter("weights", at::ones({8}));
  at::Tensor forward() { return (weights * at::ones({8}, weights.options().requires_grad(false))).sum(); }
};

struct Watched {
  std::vector<std::string> lines;            // what rank 0 said
  std::map<std::string, double> wall_clock;  // get_wall_clock_timers() at the end
};

Watched run(const std::string& config, int ranks, int steps) {
  Watched result;
  comm::run_ranks(ranks, [&](comm::GroupPtr group) {
    auto model = std::make_shared<Weights>();
    auto ready =
        initialize({.model = model, .config = config, .group = group, .print = [&](const std::string& line) {
                      result.lines.push_back(line);
                    }});
    Engine& engine = *ready.engine;
    for (int64_t i = 0; i < steps * engine.gradient_accumulation_steps(); ++i) {
      engine.backward(engine.forward([&] { return model->forward(); }));
      engine.step();
    }
    if (group->rank() == 0) result.wall_clock = engine.get_wall_clock_timers();
  });
  return result;
}

std::string without_timings(const std::string& text) {
  static const std::regex kPhase(R"((time \(ms\).*))"), kNumber(R"(: [0-9.]+)"),
      kRate(R"(((AvgSamplesPerSec|CurrSamplesPerSec|Allocated)=)[-+.e0-9]+)");
  return std::regex_replace(std::regex_search(text, kPhase) ? std::regex_replace(text, kNumber, ": T") : text,
                            kRate, "$1T");
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  // The phases of ZeRO's own optimizers, which have no such parts here.
  for (std::string line; std::getline(in, line);)
    if (line.find("| optimizer_") == std::string::npos) lines.push_back(without_timings(line));
  return lines;
}

std::string without_values(const std::string& csv) {
  return std::regex_replace(csv, std::regex(R"((\n[0-9]+,)[-+.e0-9]+)"), "$1T");
}

class MonitorGolden : public testing::TestWithParam<std::tuple<const char*, int, int>> {
 protected:
  void SetUp() override {
    folder = fs::temp_directory_path() / fmt::format("monitors_{}_{}", std::get<0>(GetParam()), ::getpid());
    fs::remove_all(folder);
    fs::create_directories(folder);
  }
  void TearDown() override { fs::remove_all(folder); }
  fs::path folder;
};

TEST_P(MonitorGolden, FilesAndLinesEqualDeepSpeedsButForTimings) {
  const auto [name, ranks, steps] = GetParam();
  const fs::path golden = kGoldens / name;
  auto config = nlohmann::ordered_json::parse(base::read_text_file(golden / "ds_config.json"));
  config["csv_monitor"]["output_path"] = (folder / "csv").string();
  config["tensorboard"]["output_path"] = (folder / "tb").string();
  const Watched ours = run(config.dump(), ranks, steps);

  int files = 0;
  for (const auto& entry : fs::directory_iterator(golden)) {
    if (entry.path().extension() != ".csv") continue;
    ++files;
    const std::string file = entry.path().filename().string();
    const std::string theirs = base::read_text_file(entry.path());
    const std::string text = base::read_text_file(folder / "csv/job" / file);
    if (file.find("elapsed_time") == std::string::npos)
      EXPECT_EQ(text, theirs) << file;
    else
      EXPECT_EQ(without_values(text), without_values(theirs)) << file;
  }
  EXPECT_GT(files, 0);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder / "csv/job"), fs::directory_iterator()), files);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder / "tb/job"), fs::directory_iterator()), 1);

  std::vector<std::string> said;
  for (const auto& line : ours.lines) said.push_back(without_timings(line));
  // DeepSpeed announces step 0 whatever steps_per_print is.
  if (config.contains("steps_per_print"))
    EXPECT_EQ(said, lines_of(base::read_text_file(golden / "lines.txt")));
  else
    EXPECT_TRUE(said.empty());
  // For tests/observe/read_events.py, which hands our event files to TensorBoard's reader.
  if (const auto keep = base::env("DS_KEEP_EVENTS")) {
    fs::create_directories(*keep);
    fs::copy(folder / "tb/job", fs::path(*keep) / name,
             fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  }
}

INSTANTIATE_TEST_SUITE_P(Runs, MonitorGolden,
                         testing::Values(std::tuple{"timers", 2, 6}, std::tuple{"fp16", 1, 16},
                                         std::tuple{"fp16-grows", 1, 6}, std::tuple{"cycle", 1, 8}),
                         [](const auto& info) {
                           std::string name = std::get<0>(info.param);
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

const char* const kPlain = R"({"train_micro_batch_size_per_gpu": 1, "optimizer": {"type": "Adam"}%s})";

std::string plain(const std::string& more) {
  std::string text = kPlain;
  return text.replace(text.find("%s"), 2, more);
}

TEST(EngineReport, SaysNothingUnlessAsked) {
  const Watched quiet = run(plain(""), 1, 4);
  EXPECT_TRUE(quiet.lines.empty());
  EXPECT_TRUE(quiet.wall_clock.empty());
}

TEST(EngineReport, GivesTheTimingsOfTheLastStep) {
  const Watched timed = run(plain(R"(, "wall_clock_breakdown": true)"), 1, 3);
  EXPECT_EQ(timed.wall_clock.size(), 10u);
  EXPECT_GT(timed.wall_clock.at("step"), 0);
  EXPECT_GE(timed.wall_clock.at("bwd"), timed.wall_clock.at("bwd_inner"));
  EXPECT_EQ(timed.wall_clock.at("fwd"), timed.wall_clock.at("fwd_microstep"));
}

TEST(EngineReport, SaysHowMuchMemoryIsInUseWhereDeepSpeedDoes) {
  const Watched watched = run(plain(R"(, "memory_breakdown": true)"), 2, 1);
  std::vector<std::string> places;
  for (size_t i = 0; i < watched.lines.size(); i += 3) {
    places.push_back(watched.lines[i]);
    ASSERT_LT(i + 2, watched.lines.size());
    EXPECT_THAT(watched.lines[i + 1], testing::StartsWith("MA 0."));
    EXPECT_THAT(watched.lines[i + 2], testing::StartsWith("CPU Virtual Memory:  used = "));
  }
  EXPECT_THAT(places,
              testing::ElementsAre("DeepSpeed Engine: After args sanity test",
                                   "DeepSpeed Engine: Before configure distributed model",
                                   "Engine before forward", "Engine after forward", "Engine before backward",
                                   "Engine after backward", "Engine before step", "Engine after step"));
}

TEST(EngineReport, DumpsTheStateOfTheEngineOnceOnRank0) {
  const Watched watched = run(plain(R"(, "dump_state": true)"), 2, 2);
  ASSERT_FALSE(watched.lines.empty());
  EXPECT_EQ(watched.lines.front(), "DeepSpeedEngine:");
  EXPECT_TRUE(std::is_sorted(watched.lines.begin() + 1, watched.lines.end()));
  for (const char* line : {"  dp_world_size ................ 2", "  global_rank .................. 0",
                           "  global_steps ................. 0", "  model_dtype .................. fp32",
                           "  torch_autocast_dtype ......... None", "  trained_elements ............. 8",
                           "  zero_stage ................... 0"})
    EXPECT_THAT(watched.lines, testing::Contains(line));
}

TEST(EngineReport, RefusesToStartWhenAMonitorCannotWrite) {
  try {
    run(plain(R"(, "csv_monitor": {"enabled": true, "output_path": "/proc/nowhere"})"), 1, 1);
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("csv_monitor.output_path: cannot write in '/proc/nowhere/"));
  }
}

}  // namespace
}  // namespace deepspeed::engine
