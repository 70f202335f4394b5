#include "deepspeed/engine/batch.h"

#include <gmock/gmock.h>

#include "errors.h"

namespace deepspeed::engine {
namespace {

using testing::error_of;
using ::testing::HasSubstr;

constexpr std::nullopt_t kNone = std::nullopt;

struct Case {
  GivenBatch given;
  int64_t world;
  int64_t train, micro, accumulation;
};

class ConsistentBatch : public ::testing::TestWithParam<Case> {};

TEST_P(ConsistentBatch, IsCompleted) {
  const Case& c = GetParam();
  BatchSizes sizes = resolve_batch(c.given, c.world);
  EXPECT_EQ(sizes.train, c.train);
  EXPECT_EQ(sizes.micro, c.micro);
  EXPECT_EQ(sizes.accumulation, c.accumulation);
}

INSTANTIATE_TEST_SUITE_P(
    Contract, ConsistentBatch,
    ::testing::Values(Case{{32, 16, 1}, 2, 32, 16, 1}, Case{{32, 8, 2}, 2, 32, 8, 2},
                      Case{{32, 16, kNone}, 2, 32, 16, 1}, Case{{32, 8, kNone}, 2, 32, 8, 2},
                      Case{{32, kNone, 2}, 2, 32, 8, 2}, Case{{kNone, 8, 2}, 2, 32, 8, 2},
                      Case{{32, kNone, kNone}, 2, 32, 16, 1}, Case{{kNone, 16, kNone}, 2, 32, 16, 1},
                      Case{{kNone, 1, kNone}, 1, 1, 1, 1}, Case{{6, kNone, kNone}, 3, 6, 2, 1}));

struct Bad {
  GivenBatch given;
  int64_t world;
  const char* message;
};

class InconsistentBatch : public ::testing::TestWithParam<Bad> {};

TEST_P(InconsistentBatch, IsRefusedWithNumbers) {
  EXPECT_THAT(error_of([] { resolve_batch(GetParam().given, GetParam().world); }),
              HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Contract, InconsistentBatch,
    ::testing::Values(Bad{{33, 17, 2}, 2, "(33 != 17 * 2 * 2)"}, Bad{{32, 18, 1}, 2, "(32 != 18 * 1 * 2)"},
                      Bad{{32, 18, kNone}, 2, "gradient_accumulation_steps 0 (computed)"},
                      Bad{{33, kNone, 2}, 2, "(33 != 8 * 2 * 2)"},
                      Bad{{33, kNone, kNone}, 2, "(33 != 16 * 1 * 2)"},
                      Bad{{1, kNone, kNone}, 2, "train_micro_batch_size_per_gpu 0 (computed)"},
                      Bad{{kNone, kNone, 2}, 2, "give train_batch_size or train_micro_batch_size_per_gpu"},
                      Bad{{kNone, kNone, kNone}, 2, "a batch size is missing"},
                      Bad{{0, kNone, kNone}, 2, "train_batch_size must be > 0, not 0"},
                      Bad{{kNone, -1, kNone}, 2, "train_micro_batch_size_per_gpu must be > 0, not -1"},
                      Bad{{kNone, 1, 0}, 2, "gradient_accumulation_steps must be > 0, not 0"},
                      Bad{{kNone, INT64_MAX / 2, 4}, 2, "batch size too large"},
                      Bad{{4, kNone, kNone}, 0, "world size must be >= 1"}));

}  // namespace
}  // namespace deepspeed::engine
