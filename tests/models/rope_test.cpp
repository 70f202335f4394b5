#include "deepspeed/models/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "deepspeed/base/error.h"
#include "deepspeed/models/arch_spec.h"

namespace deepspeed::models {
namespace {

using nlohmann::json;

ArchSpec llama_with(json rope, json more = json::object()) {
  json config = {{"model_type", "llama"},
                 {"hidden_size", 64},
                 {"num_attention_heads", 4},
                 {"num_hidden_layers", 1},
                 {"max_position_embeddings", 4096}};
  config["rope_parameters"] = std::move(rope);
  config.update(more);
  return parse_arch_spec(config, "c");
}

std::string error_of(const json& rope) {
  try {
    llama_with(rope);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "accepted";
}

std::vector<double> plain(double theta = 10000) {
  std::vector<double> frequencies;
  for (int i = 0; i < 8; ++i) frequencies.push_back(std::pow(theta, -i / 8.0));
  return frequencies;
}

TEST(Rope, WithoutStretchingIsAPowerOfItsBase) {
  const auto got = rope_frequencies(llama_with({{"rope_type", "default"}}).rope, 10);
  for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(got[i], plain()[i], 1e-12);
}

TEST(Rope, LinearDividesEveryFrequency) {
  const auto got = rope_frequencies(llama_with({{"rope_type", "linear"}, {"factor", 4.0}}).rope, 10);
  for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(got[i], plain()[i] / 4, 1e-12);
}

TEST(Rope, DynamicGrowsBeyondTheFirstLengthAndStretchesThePositions) {
  const ArchSpec spec = llama_with({{"type", "dynamic"}, {"factor", 2.0}});
  EXPECT_EQ(spec.max_positions, 8192);
  EXPECT_EQ(rope_frequencies(spec.rope, 10), rope_frequencies(spec.rope, 4096));
  const auto got = rope_frequencies(spec.rope, 8192);
  const auto want = plain(10000 * std::pow(2.0 * 2 - 1, 16.0 / 14));
  for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(got[i], want[i], 1e-12);
}

TEST(Rope, Llama3KeepsFastFrequenciesAndDividesSlowOnes) {
  const auto got = rope_frequencies(llama_with({{"rope_type", "llama3"},
                                                {"factor", 8.0},
                                                {"low_freq_factor", 1.0},
                                                {"high_freq_factor", 4.0},
                                                {"original_max_position_embeddings", 1024}})
                                        .rope,
                                    10);
  for (size_t i = 0; i < 8; ++i) {
    const double turns = 1024 * plain()[i] / (2 * std::numbers::pi);
    if (turns > 4) {
      EXPECT_EQ(got[i], plain()[i]);
    } else if (turns < 1) {
      EXPECT_NEAR(got[i], plain()[i] / 8, 1e-15);
    } else {
      EXPECT_GT(got[i], plain()[i] / 8);
      EXPECT_LT(got[i], plain()[i]);
    }
  }
}

TEST(Rope, YarnKeepsTheFastestDividesTheSlowestAndGrowsScores) {
  const ArchSpec spec =
      llama_with({{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 1024}});
  EXPECT_NEAR(spec.rope.amplitude, 0.1 * std::log(4.0) + 1, 1e-12);
  const auto got = rope_frequencies(spec.rope, 10);
  EXPECT_EQ(got[0], 1);
  EXPECT_NEAR(got[7], plain()[7] / 4, 1e-15);
  EXPECT_EQ(llama_with({{"rope_type", "yarn"}, {"factor", 4.0}, {"attention_factor", 1.5}}).rope.amplitude,
            1.5);
  // DeepSeek's: both scales, of which the quotient counts.
  EXPECT_NEAR(llama_with({{"rope_type", "yarn"}, {"factor", 40.0}, {"mscale", 1.0}, {"mscale_all_dim", 1.0}})
                  .rope.amplitude,
              1, 1e-12);
}

TEST(Rope, LongropeTakesItsFactorsByTheLengthAndKeepsNoKeysAcrossIt) {
  const json eight = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0},
             twice = {2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0};
  const ArchSpec spec = llama_with({{"rope_type", "longrope"},
                                    {"short_factor", eight},
                                    {"long_factor", twice},
                                    {"original_max_position_embeddings", 1024}});
  EXPECT_NEAR(rope_frequencies(spec.rope, 1024)[3], plain()[3], 1e-12);
  EXPECT_NEAR(rope_frequencies(spec.rope, 1025)[3], plain()[3] / 2, 1e-12);
  EXPECT_NEAR(spec.rope.amplitude, std::sqrt(1 + std::log(4.0) / std::log(1024.0)), 1e-12);
  EXPECT_TRUE(spec.rope.keeps_keys(5, 1024));
  EXPECT_FALSE(spec.rope.keeps_keys(1024, 1025));
  EXPECT_TRUE(spec.rope.keeps_keys(1025, 4000));
}

TEST(Rope, RefusesWhatItCannotTurnByNamingTheKey) {
  EXPECT_EQ(
      error_of({{"rope_type", "axial"}}),
      "c: 'rope_parameters' of type \"axial\" is not available yet (default, linear, dynamic, yarn, llama3, "
      "longrope)");
  EXPECT_EQ(error_of({{"rope_type", "linear"}}), "c: 'rope_parameters.factor' is missing");
  EXPECT_EQ(error_of({{"rope_type", "dynamic"}, {"factor", -1.0}}),
            "c: 'rope_parameters.factor' is -1; it must be positive");
  EXPECT_EQ(
      error_of(
          {{"rope_type", "llama3"}, {"factor", 8.0}, {"low_freq_factor", 4.0}, {"high_freq_factor", 1.0}}),
      "c: 'rope_parameters.high_freq_factor' must be larger than low_freq_factor");
  EXPECT_EQ(error_of({{"rope_type", "longrope"}, {"short_factor", {1.0, 2.0}}}),
            "c: 'rope_parameters.short_factor' must be a list of 8 numbers, one a pair of a head's elements");
  EXPECT_EQ(error_of({1, 2}), "c: 'rope_parameters' must be an object");
}

TEST(Rope, OldSpellingsComeFirst) {
  // transformers takes rope_scaling where both are there.
  const ArchSpec spec =
      llama_with({{"rope_type", "default"}, {"rope_theta", 77.0}},
                 {{"rope_scaling", {{"type", "linear"}, {"factor", 3.0}}}, {"rope_theta", 500.0}});
  EXPECT_EQ(spec.rope.stretch, RopeStretch::kLinear);
  EXPECT_EQ(spec.rope.theta, 500);
  EXPECT_EQ(llama_with({{"rope_theta", 77.0}}, {{"rope_theta", 500.0}}).rope.theta, 77);
}

}  // namespace
}  // namespace deepspeed::models
