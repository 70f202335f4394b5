#include "deepspeed/data/ngram_baseline.h"

#include <gtest/gtest.h>

#include <random>

#include "deepspeed/base/error.h"

namespace deepspeed::data {
namespace {

TEST(NgramBaseline, IsCertainOfARepeatedPatternAndUniformOnNoise) {
  std::vector<int32_t> pattern;
  for (int i = 0; i < 3000; ++i) pattern.push_back(i % 3);
  const auto certain = NgramBaseline(pattern, 3).evaluate(std::span(pattern).first(300), 30);
  EXPECT_LT(certain.trigram, 1.01);
  EXPECT_NEAR(certain.unigram, 3.0, 0.01);

  std::mt19937 random(1);
  std::vector<int32_t> noise(200'000);
  for (auto& token : noise) token = static_cast<int32_t>(random() % 16);
  const auto uniform = NgramBaseline(noise, 16).evaluate(std::span(noise).first(1600), 16);
  EXPECT_NEAR(uniform.unigram, 16, 0.1);
  EXPECT_NEAR(uniform.trigram, 16, 0.7);
}

// A perplexity is only comparable when the probabilities of all tokens sum to one in every context: scoring
// every token once after the same context must give total probability 1.
TEST(NgramBaseline, DistributesExactlyOneUnitOfProbability) {
  const std::vector<int32_t> training = {0, 1, 2, 0, 1, 3, 0, 1, 2, 4, 4, 0};
  const NgramBaseline baseline(training, 6);
  for (int32_t a = 0; a < 6; ++a)
    for (int32_t b = 0; b < 6; ++b) {
      double trigram = 0, bigram = 0;
      for (int32_t c = 0; c < 6; ++c) {
        const std::vector<int32_t> three = {a, b, c}, two = {b, c}, head = {a, b};
        // evaluate() multiplies the bigram of (a, b) in: divide it out again.
        const double first = 1 / baseline.evaluate(head, 2).trigram;
        trigram += 1 / (std::pow(baseline.evaluate(three, 3).trigram, 2) * first);
        bigram += 1 / baseline.evaluate(two, 2).trigram;
      }
      EXPECT_NEAR(trigram, 1, 1e-9);
      EXPECT_NEAR(bigram, 1, 1e-9);
    }
}

TEST(NgramBaseline, RefusesForeignTokensAndEmptyHeldOutData) {
  EXPECT_THROW(NgramBaseline(std::vector<int32_t>{7}, 3), base::Error);
  EXPECT_THROW(NgramBaseline(std::vector<int32_t>{1, 2}, 3).evaluate(std::vector<int32_t>{1}, 4),
               base::Error);
}

}  // namespace
}  // namespace deepspeed::data
