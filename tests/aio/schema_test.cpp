#include "deepspeed/aio/schema.h"

#include <gmock/gmock.h>

#include "tests/aio/scratch.h"

namespace deepspeed::aio {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

AioConfig parse(const std::string& text) {
  const config::Document document = config::parse_text(text, "ds.json");
  config::Warnings warnings;
  return schema().parse(config::Node(document), warnings);
}

TEST(AioSchema, HasDeepSpeedsDefaults) {
  const AioConfig config = parse("{}");
  EXPECT_EQ(config.block_size, 1048576);
  EXPECT_EQ(config.queue_depth, 8);
  EXPECT_EQ(config.intra_op_parallelism, 1);
  EXPECT_FALSE(config.single_submit);
  EXPECT_TRUE(config.overlap_events);
}

TEST(AioSchema, ReadsEveryKey) {
  const AioConfig config = parse(
      R"({"block_size": 262144, "queue_depth": 32, "thread_count": 4, "single_submit": true, "overlap_events": false,
          "use_gds": false})");
  EXPECT_EQ(config.block_size, 262144);
  EXPECT_EQ(config.queue_depth, 32);
  EXPECT_EQ(config.intra_op_parallelism, 4);
  EXPECT_TRUE(config.single_submit);
  EXPECT_FALSE(config.overlap_events);
}

TEST(AioSchema, RefusesWhatNoDiskHas) {
  for (const char* text : {R"({"block_size": 0})", R"({"block_size": 1e12})", R"({"queue_depth": 828467856})",
                           R"({"intra_op_parallelism": 231855646})"})
    EXPECT_THAT(error_of([&] { parse(text); }), AllOf(HasSubstr(" must be "), HasSubstr("ds.json:1:")))
        << text;
}

TEST(AioSchema, RefusesGpuDirectStorage) {
  EXPECT_THAT(error_of([] { parse(R"({"use_gds": true})"); }),
              StartsWith("not available yet: GPUDirect Storage"));
}

}  // namespace
}  // namespace deepspeed::aio
