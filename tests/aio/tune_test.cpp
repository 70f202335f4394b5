#include "deepspeed/aio/tune.h"

#include <gmock/gmock.h>

#include <set>

#include "deepspeed/base/file.h"
#include "tests/aio/scratch.h"

namespace deepspeed::aio {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TuneTest : public ScratchFolder {};

TEST(Sweep, HasDeepSpeedsSpace) {
  const auto all = configurations(SweepSpace{});
  EXPECT_EQ(all.size(), 2u * 2 * 2 * 2 * 4);
  std::set<std::string> names;
  for (const AioConfig& config : all) names.insert(log_name(config, true, 1));
  EXPECT_EQ(names.size(), all.size());
  EXPECT_TRUE(names.contains("read_block_overlap_ftd1_d32_bs1M_p1.txt"));
  EXPECT_TRUE(names.contains("read_single_sequential_ftd1_d128_bs8M_p8.txt"));
}

TEST(Sweep, IsReadFromAFile) {
  const auto space =
      parse_sweep(R"({"block_size": ["256K", 8192], "queue_depth": [4], "sequential_requests": [true],
      "single_submit": [true, false], "io_parallel": [3]})",
                  "s.json");
  EXPECT_THAT(space.block_size, ElementsAre(262144, 8192));
  EXPECT_EQ(configurations(space).size(), 4u);
  EXPECT_FALSE(configurations(space)[0].overlap_events);
  const auto one = configurations(parse_sweep("{}", "s.json"));
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].queue_depth, 32);
}

TEST(Sweep, NamesEveryMistake) {
  const auto error = [](const char* text) { return error_of([&] { parse_sweep(text, "s.json"); }); };
  EXPECT_THAT(error("[]"), AllOf(HasSubstr("s.json"), HasSubstr("object")));
  EXPECT_THAT(error("{"), HasSubstr("s.json"));
  EXPECT_THAT(error(R"({"depth": [1]})"), HasSubstr("s.json: depth cannot be varied"));
  EXPECT_THAT(error(R"({"queue_depth": 4})"), HasSubstr("must be a list of values"));
  EXPECT_THAT(error(R"({"queue_depth": []})"), HasSubstr("must be a list of values"));
  EXPECT_THAT(error(R"({"queue_depth": [0]})"), HasSubstr("from 1 to 32768"));
  EXPECT_THAT(error(R"({"io_parallel": ["4"]})"), HasSubstr("from 1 to 1024"));
  EXPECT_THAT(error(R"({"block_size": ["1X"]})"), HasSubstr("s.json: block_size must be a number of bytes"));
  EXPECT_THAT(error(R"({"single_submit": ["false"]})"), HasSubstr("must be true or false"));
}

TEST_F(TuneTest, PicksTheFastestAndLogsEveryMeasurement) {
  TuneOptions options;
  std::filesystem::create_directory(folder / "disk");
  options.folders = {folder / "disk"};
  options.space = {{8192, 65536}, {1, 16}, {true, false}, {false}, {1}};
  options.io_size = 300'000;
  options.log_dir = folder / "logs";
  int measured = 0;
  const TuneResult best = tune(options, [&](const std::string&) { ++measured; });
  EXPECT_EQ(measured, 8);
  EXPECT_TRUE(best.read && best.write);
  double most = 0;
  for (const AioConfig& config : configurations(options.space)) {
    double sum = 0;
    for (const char* what : {"Read", "Write"}) {
      const bool read = *what == 'R';
      const std::string log =
          base::read_text_file(folder / "logs" / (read ? "_aio_bench_read_logs" : "_aio_bench_write_logs") /
                               log_name(config, read, 1));
      const std::string key = std::string("E2E ") + what + " Speed = ";
      ASSERT_THAT(log, HasSubstr(key));
      sum += std::stod(log.substr(log.find(key) + key.size()));
    }
    most = std::max(most, sum);
  }
  EXPECT_NEAR(*best.read + *best.write, most, 1e-9 * most);
  EXPECT_TRUE(std::filesystem::is_empty(folder / "disk")) << "measured files are removed";
}

TEST_F(TuneTest, MeasuresOneDirectionAlone) {
  TuneOptions options;
  options.folders = {folder};
  options.space = {{65536}, {4}, {false}, {false}, {1}};
  options.io_size = 100'000;
  options.log_dir = folder / "logs";
  options.write = false;
  const TuneResult best = tune(options, [](const std::string&) {});
  EXPECT_TRUE(best.read && !best.write);
  options.read = false;
  EXPECT_THAT(error_of([&] { tune(options, [](const std::string&) {}); }), HasSubstr("nothing to measure"));
}

TEST(TuneText, IsABlockThatTheConfigurationTakes) {
  const TuneResult result{{.block_size = 8 << 20, .queue_depth = 128, .intra_op_parallelism = 2}, 1.5, 0.75};
  EXPECT_EQ(to_text(result), R"(Best performance (GB/sec): read =  1.50, write =  0.75
{
   "aio": {
      "single_submit": false,
      "overlap_events": true,
      "intra_op_parallelism": 2,
      "queue_depth": 128,
      "block_size": 8388608
   }
}
)");
}

}  // namespace
}  // namespace deepspeed::aio
