#include "deepspeed/base/cpu_features.h"

#include <gtest/gtest.h>

#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"

namespace deepspeed::base {
namespace {

const std::vector<Isa> kAll = {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16, Isa::kAmx};

TEST(CpuFeatures, WiderSetsImplyTheNarrowerOnes) {
  const CpuFeatures& f = cpu_features();
  EXPECT_TRUE(f.avx2 || !f.avx512);
  EXPECT_TRUE(f.avx512 || !(f.avx512_bf16 || f.avx512_vnni || f.avx512_fp16));
  EXPECT_TRUE(f.amx_tile || !(f.amx_bf16 || f.amx_int8));
}

#if defined(__x86_64__)
TEST(CpuFeatures, AgreeWithTheCompilersOwnDetection) {
  const CpuFeatures& f = cpu_features();
  EXPECT_EQ(f.avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
  EXPECT_EQ(f.avx512, f.avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"));
  EXPECT_EQ(f.avx512_bf16, f.avx512 && __builtin_cpu_supports("avx512bf16"));
}
#endif

TEST(CpuFeatures, TheBestIsaIsOneOfThoseOfferedAndScalarAlwaysRuns) {
  EXPECT_EQ(best_isa({Isa::kScalar}), Isa::kScalar);
  EXPECT_EQ(best_isa({}), Isa::kScalar);
  const Isa best = best_isa(kAll);
  EXPECT_EQ(best_isa({best}), best);
  EXPECT_EQ(best_isa({kAll.rbegin(), kAll.rend()}), best);
  EXPECT_EQ(best_isa({Isa::kAvx2, Isa::kScalar}),
            cpu_features().avx2 && best != Isa::kScalar ? Isa::kAvx2 : Isa::kScalar);
}

// The limit is read once a process, hence a process for each value.
int exit_with_best_isa(const char* limit) {
  set_env("DS_FORCE_ISA", limit);
  try {
    return static_cast<int>(best_isa(kAll));
  } catch (const Error& error) {
    fprintf(stderr, "%s\n", error.what());
    return 99;
  }
}

TEST(CpuFeaturesDeathTest, TheEnvironmentLimitsTheIsa) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(exit(exit_with_best_isa("scalar")), ::testing::ExitedWithCode(static_cast<int>(Isa::kScalar)),
              "");
  const Isa avx2 = cpu_features().avx2 ? Isa::kAvx2 : Isa::kScalar;
  EXPECT_EXIT(exit(exit_with_best_isa("avx2")), ::testing::ExitedWithCode(static_cast<int>(avx2)), "");
  EXPECT_EXIT(exit(exit_with_best_isa("mmx")), ::testing::ExitedWithCode(99),
              "DS_FORCE_ISA='mmx' is not one of");
}

}  // namespace
}  // namespace deepspeed::base
