#include "deepspeed/observe/memory_lines.h"

#include <gmock/gmock.h>

namespace deepspeed::observe {
namespace {

TEST(MemoryLines, AreDeepSpeedsWords) {
  constexpr int64_t kGiga = int64_t{1} << 30;
  EXPECT_THAT(memory_lines(
                  "Engine before forward",
                  {.resident = kGiga / 2, .peak = kGiga * 7 / 4, .total = 8 * kGiga, .available = 5 * kGiga}),
              testing::ElementsAre("Engine before forward",
                                   "MA 0.5 GB         Max_MA 1.75 GB         CA 0.5 GB         Max_CA 2 GB ",
                                   "CPU Virtual Memory:  used = 3.0 GB, percent = 37.5%"));
}

TEST(MemoryLines, SurviveAMachineThatDoesNotSay) {
  EXPECT_EQ(memory_lines("x", {}).back(), "CPU Virtual Memory:  used = 0.0 GB, percent = 0.0%");
}

}  // namespace
}  // namespace deepspeed::observe
