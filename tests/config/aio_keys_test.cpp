// The block of aio/, within a whole file.
#include <gmock/gmock.h>

#include "deepspeed/engine/parse_config.h"
#include "errors.h"

namespace deepspeed::engine {
namespace {

using ::testing::AllOf;
using testing::error_of;
using ::testing::HasSubstr;

DeepspeedConfig parse(const std::string& members) {
  return parse_config(config::parse_text("{\"train_batch_size\": 8,\n" + members + "}", "ds.json"), 2);
}

TEST(AioKeys, AreReadAndHaveDeepSpeedsDefaults) {
  const aio::AioConfig initial = parse(R"("aio": {})").aio;
  EXPECT_EQ(initial.block_size, 1 << 20);
  EXPECT_EQ(initial.queue_depth, 8);
  const aio::AioConfig given =
      parse(R"("aio": {"block_size": 131072, "thread_count": 2, "overlap_events": false})").aio;
  EXPECT_EQ(given.block_size, 131072);
  EXPECT_EQ(given.intra_op_parallelism, 2);
  EXPECT_FALSE(given.overlap_events);
}

TEST(AioKeys, NameTheirPlaceInTheFile) {
  EXPECT_THAT(error_of([] { parse(R"("aio": {"queue_depth": 0})"); }),
              AllOf(HasSubstr("aio.queue_depth"), HasSubstr("ds.json:2:")));
  EXPECT_THAT(error_of([] { parse(R"("aio": {"depth": 4})"); }), HasSubstr("unknown key"));
}

}  // namespace
}  // namespace deepspeed::engine
