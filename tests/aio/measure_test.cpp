#include "deepspeed/aio/measure.h"

#include <gmock/gmock.h>

#include <mutex>

#include "tests/aio/backends.h"
#include "tests/aio/scratch.h"

namespace deepspeed::aio {
namespace {

using ::testing::Contains;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

class MeasureTest : public ScratchFolder {
 protected:
  MeasureOptions options() const {
    MeasureOptions o;
    o.folders = {folder, folder};
    o.io_size = 100'001;
    o.config = {.block_size = 16384, .queue_depth = 4, .intra_op_parallelism = 2};
    o.validate = true;
    return o;
  }
  Measurement run(const MeasureOptions& o) {
    return measure(o, [this](const std::string& line) { lines.push_back(line); });
  }
  std::vector<std::string> lines;
};

TEST_F(MeasureTest, WritesAFileATaskAndCountsTheLoopsAfterWarmUp) {
  const Measurement m = run(options());
  EXPECT_EQ(m.bytes, 2 * 3 * 100'001);
  EXPECT_GT(m.task_seconds, 0);
  EXPECT_GE(m.e2e_seconds, m.task_seconds * 0.9);
  for (const char* name : {"_aio_write_100001.pt.0_0", "_aio_write_100001.pt.1_0"})
    EXPECT_EQ(std::filesystem::file_size(folder / name), 100'001u);
  EXPECT_THAT(lines, Contains("Pass: correctness of deepspeed_aio_write() using read()"));
}

TEST_F(MeasureTest, ReadsWhatIsThereAndMakesWhatIsMissing) {
  MeasureOptions o = options();
  o.read = true;
  o.include_warmup_time = true;
  o.different_file_each_iteration = true;
  EXPECT_EQ(run(o).bytes, 2 * 4 * 100'001);
  const auto first = contents(folder / "_aio_read_100001.pt.0_0");
  EXPECT_EQ(first.size(), 100'001u);
  EXPECT_TRUE(std::filesystem::exists(folder / "_aio_read_100001.pt.1_3"));
  lines.clear();
  run(o);
  EXPECT_THAT(lines, testing::Not(Contains(HasSubstr("Create"))));
  EXPECT_EQ(contents(folder / "_aio_read_100001.pt.0_0"), first);
}

TEST_F(MeasureTest, EveryEngineAndBackendMovesTheSameBytes) {
  for (Engine engine : {Engine::kHandle, Engine::kBasic})
    for (BackendKind backend : backends_here())
      for (bool read : {false, true}) {
        MeasureOptions o = options();
        o.engine = engine;
        o.backend = backend;
        o.read = read;
        EXPECT_EQ(run(o).bytes, 600'006);
      }
}

TEST_F(MeasureTest, SpeaksAsDeepSpeedDoes) {
  const Measurement m{.task_seconds = 0.5, .e2e_seconds = 1, .bytes = int64_t{1} << 30};
  EXPECT_EQ(to_text(m, true),
            "Task Read Latency = 0.5 sec\nTask Read Speed = 2 GB/sec\nE2E Read Latency = 1 sec\nE2E Read "
            "Speed = 1 GB/sec\n");
  EXPECT_THAT(to_text(m, false), HasSubstr("Task Write Latency"));
}

TEST_F(MeasureTest, RefusesWhatCannotBeMeasured) {
  MeasureOptions o = options();
  o.io_size = int64_t{1} << 50;
  EXPECT_THAT(error_of([&] { run(o); }), HasSubstr("more than this machine's memory"));
  o = options();
  o.folders[1] = folder / "none";
  EXPECT_THAT(error_of([&] { run(o); }), HasSubstr("none is no folder"));
}

TEST(ParseSize, TakesPlainNumbersAndUnits) {
  EXPECT_EQ(parse_size("4096", "x"), 4096);
  EXPECT_EQ(parse_size("2K", "x"), 2048);
  EXPECT_EQ(parse_size("400M", "x"), 419430400);
  EXPECT_EQ(parse_size("3G", "x"), int64_t{3} << 30);
  for (const char* bad :
       {"", "K", "0", "-1", "1.5M", "1MB", "1 M", "12T", "99999999999G", "9223372036854775808"})
    EXPECT_THAT(error_of([&] { parse_size(bad, "--io_size"); }),
                HasSubstr("--io_size must be a number of bytes"))
        << bad;
}

}  // namespace
}  // namespace deepspeed::aio
