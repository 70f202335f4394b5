#include "deepspeed/inference/logits_process.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace deepspeed::inference {
namespace {

using testing::ElementsAre;
using testing::FloatEq;
using testing::FloatNear;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> random_row(size_t size, unsigned seed, float spread = 2) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> row(size);
  for (float& x : row) x = normal(engine);
  return row;
}

std::vector<size_t> kept(const std::vector<float>& row) {
  std::vector<size_t> out;
  for (size_t i = 0; i < row.size(); ++i)
    if (row[i] > kBanned) out.push_back(i);
  return out;
}

std::vector<double> softmax(const std::vector<float>& row) {
  std::vector<double> p;
  double sum = 0;
  for (float x : row) sum += p.emplace_back(std::exp(static_cast<double>(x)));
  for (double& x : p) x /= sum;
  return p;
}

TEST(RowMath, AgreesWithTheObviousForms) {
  for (const size_t size : {1u, 15u, 16u, 33u, 1000u}) {
    std::vector<float> row = random_row(size, static_cast<unsigned>(size));
    EXPECT_EQ(largest(row), *std::max_element(row.begin(), row.end()));
    EXPECT_EQ(likeliest(row), std::max_element(row.begin(), row.end()) - row.begin());
    double sum = 0;
    for (float x : row) sum += std::exp(static_cast<double>(x));
    EXPECT_NEAR(log_sum_exp(row), std::log(sum), 1e-6);
    const auto top = top_candidates(row, 5);
    std::vector<float> sorted = row;
    std::sort(sorted.rbegin(), sorted.rend());
    for (size_t i = 0; i < top.size(); ++i) EXPECT_EQ(top[i].score, sorted[i]);
    EXPECT_EQ(top.size(), std::min<size_t>(5, size));
  }
  const std::vector<float> ties = {1, 3, 3, 2, 3};
  EXPECT_EQ(likeliest(ties), 1);
  const auto top = top_candidates(ties, 2);
  EXPECT_EQ(top[0].token, 1);
  EXPECT_EQ(top[1].token, 2);
  EXPECT_EQ(largest(std::vector<float>{kBanned, kBanned}), kBanned);
}

TEST(Processors, RepetitionIsPenalizedOncePerToken) {
  std::vector<float> row = {2, -2, 4, -4};
  penalize_occurring(row, std::vector<int32_t>{0, 1, 0, 0, 99, -1}, 2);
  EXPECT_THAT(row, ElementsAre(1, -4, 4, -4));
}

TEST(Processors, OpenAisPenaltiesCountTheAnswerAlone) {
  GenerationConfig config;
  config.presence_penalty = 0.5;
  config.frequency_penalty = 0.25;
  const LogitsProcessor process(config, /*prompt_length=*/2, /*max_length=*/100);
  std::vector<float> row = {1, 1, 1, 1};
  const std::vector<int32_t> tokens = {3, 3, 0, 1, 0, 0};
  process(row, {tokens, 2});
  EXPECT_THAT(row, ElementsAre(1 - 0.5F - 0.75F, 1 - 0.75F, 1, 1));
}

TEST(Processors, LogitBiasAddsToSingleTokens) {
  GenerationConfig config;
  config.logit_bias = {{1, 5.0F}, {2, -100.0F}};
  config.sequence_bias = {{{1}, 1.5F}};
  std::vector<float> row = {0, 0, 0};
  LogitsProcessor(config, 1, 9)(row, {std::vector<int32_t>{0}, 1});
  EXPECT_THAT(row, ElementsAre(0, 6.5F, -100));
}

TEST(Processors, ASequencesBiasNeedsItsBeginning) {
  const std::vector<SequenceBias> biases = {
      {{7, 8, 1}, 1}, {{8, 1}, 2}, {{9, 1}, 4}, {{0}, 8}, {{1, 2, 3, 4, 5, 6}, 16}};
  std::vector<float> row(4, 0);
  add_biases(row, std::vector<int32_t>{7, 8}, biases);
  EXPECT_THAT(row, ElementsAre(8, 3, 0, 0));
}

TEST(Processors, ARunIsNotCompletedTwice) {
  std::vector<float> row(6, 0);
  ban_repeated_runs(row, std::vector<int32_t>{1, 2, 3, 1, 2, 4, 1, 2},
                    std::vector<int32_t>{1, 2, 3, 1, 2, 4, 1, 2}, 3);
  EXPECT_THAT(kept(row), ElementsAre(0, 1, 2, 5));
  row.assign(6, 0);
  ban_repeated_runs(row, std::vector<int32_t>{1}, std::vector<int32_t>{1}, 2);
  EXPECT_EQ(kept(row).size(), 6u) << "nothing precedes it";
  ban_repeated_runs(row, std::vector<int32_t>{1, 5}, std::vector<int32_t>{1, 5}, 1);
  EXPECT_THAT(kept(row), ElementsAre(0, 2, 3, 4));
}

TEST(Processors, InvalidValuesBecomeFinite) {
  std::vector<float> row = {std::nanf(""), kInfinity, -kInfinity, 1};
  remove_invalid(row);
  EXPECT_THAT(row,
              ElementsAre(0, std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest(), 1));
}

TEST(Processors, TheEndBecomesLikelierWithTheLength) {
  std::vector<float> row = {-2, 3, kBanned};
  raise_by_length(row, std::vector<int32_t>{0, 1, 1, 2}, {.start = 2, .factor = 2}, 4);
  EXPECT_THAT(row, ElementsAre(-2 + 2 * 3, 3 + 3 * 3, kBanned));
  raise_by_length(row, std::vector<int32_t>{0}, {.start = 4, .factor = 2}, 4);
  EXPECT_EQ(row[0], 4);
  raise_by_length(row, std::vector<int32_t>{0}, {.start = 0, .factor = 1e30}, 1000);
  EXPECT_EQ(row[0], std::numeric_limits<float>::max()) << "and stays finite";
}

TEST(Processors, MinimumsCountWithoutThePromptWhereAskedFor) {
  GenerationConfig config;
  config.eos_token_id = {1};
  config.stop_token_ids = {2};
  config.min_new_tokens = 2;
  const LogitsProcessor process(config, 5, 100);
  for (size_t length : {5u, 6u, 7u}) {
    std::vector<float> row(4, 0);
    const std::vector<int32_t> tokens(length, 0);
    process(row, {tokens, 5});
    EXPECT_EQ(kept(row).size(), length < 7 ? 2u : 4u) << length;
  }
}

// Against the definitions, with everything sorted.
TEST(Filters, TopPKeepsTheFewestThatReachTheSum) {
  for (unsigned seed = 0; seed < 40; ++seed)
    for (const double p : {0.0, 0.1, 0.5, 0.9, 0.999}) {
      std::vector<float> row = random_row(300, seed, seed % 2 == 0 ? 0.2F : 4.0F);
      const auto probability = softmax(row);
      std::vector<size_t> order(row.size());
      std::iota(order.begin(), order.end(), 0);
      std::sort(order.begin(), order.end(),
                [&](size_t a, size_t b) { return probability[a] > probability[b]; });
      std::vector<size_t> want;
      double sum = 0;
      for (size_t i : order) {
        if (!want.empty() && sum >= p) break;
        want.push_back(i);
        sum += probability[i];
      }
      std::sort(want.begin(), want.end());
      keep_top_p(row, p, 1);
      EXPECT_EQ(kept(row), want) << "seed " << seed << ", p " << p;
    }
}

TEST(Filters, EachKeepsSoManyAtLeast) {
  const auto count = [](auto filter) {
    std::vector<float> row = random_row(50, 3, 9);
    row[7] = 100;
    filter(row);
    return kept(row).size();
  };
  for (const size_t least : {1u, 3u, 50u, 60u}) {
    const size_t want = std::min<size_t>(least, 50);
    EXPECT_EQ(count([&](Row row) { keep_top_p(row, 0.5, least); }), want);
    EXPECT_EQ(count([&](Row row) { keep_min_p(row, 0.9, least); }), want);
    EXPECT_EQ(count([&](Row row) { keep_typical(row, 0.5, least); }), want);
    EXPECT_EQ(count([&](Row row) { keep_above_epsilon(row, 0.5, least); }), want);
    EXPECT_EQ(count([&](Row row) { keep_above_eta(row, 0.5, least); }), want);
    EXPECT_EQ(count([&](Row row) { keep_top_k(row, least); }), want);
  }
}

TEST(Filters, WorkOnWhatOthersLeft) {
  for (const bool banned_half : {false, true}) {
    std::vector<float> row = random_row(64, 5);
    if (banned_half)
      for (size_t i = 0; i < 32; ++i) row[i] = kBanned;
    const size_t most = banned_half ? 32 : 64;
    for (auto filter :
         {+[](Row r) { keep_top_p(r, 0.95, 1); }, +[](Row r) { keep_typical(r, 0.95, 1); },
          +[](Row r) { keep_min_p(r, 0.001, 1); }, +[](Row r) { keep_top_h(r, 0.9); },
          +[](Row r) { keep_above_eta(r, 1e-4, 1); }, +[](Row r) { keep_above_epsilon(r, 1e-4, 1); }}) {
      std::vector<float> copy = row;
      filter(copy);
      EXPECT_GE(kept(copy).size(), 1u);
      EXPECT_LE(kept(copy).size(), most);
      for (size_t i : kept(copy)) EXPECT_EQ(copy[i], row[i]);
    }
  }
}

TEST(Filters, TiesStayTogetherInTopK) {
  std::vector<float> row = {1, 5, 3, 3, 3, 0};
  keep_top_k(row, 2);
  EXPECT_THAT(kept(row), ElementsAre(1, 2, 3, 4));
}

TEST(LogitsProcessor, TemperatureComesBeforeTheFilters) {
  // At temperature 1 the first token alone reaches 0.7; at 4 three are needed. DeepSpeed-MII divides
  // afterwards.
  GenerationConfig config;
  config.do_sample = true;
  config.top_k = 0;
  config.top_p = 0.7;
  const std::vector<float> scores = {3, 1, 0.5F, 0};
  const std::vector<int32_t> prompt = {0};
  std::vector<float> row = scores;
  LogitsProcessor(config, 1, 9)(row, {prompt, 1});
  EXPECT_THAT(kept(row), ElementsAre(0));
  config.temperature = 4;
  row = scores;
  LogitsProcessor(config, 1, 9)(row, {prompt, 1});
  EXPECT_THAT(kept(row), ElementsAre(0, 1, 2));
  EXPECT_THAT(row[0], FloatEq(0.75F));
}

TEST(LogitsProcessor, RenormalizingComesLast) {
  GenerationConfig config;
  config.renormalize_logits = true;
  config.suppress_tokens = {0};
  std::vector<float> row = {9, 1, 1};
  LogitsProcessor(config, 1, 9)(row, {std::vector<int32_t>{1}, 1});
  EXPECT_THAT(row, ElementsAre(kBanned, FloatNear(std::log(0.5F), 1e-6F), FloatNear(std::log(0.5F), 1e-6F)));
}

TEST(LogitsProcessor, TheEosTokenAloneIsNoBadWord) {
  GenerationConfig config;
  config.eos_token_id = {2};
  config.bad_words_ids = {{2}, {1}, {0, 2}};
  std::vector<float> row(3, 0);
  LogitsProcessor(config, 1, 9)(row, {std::vector<int32_t>{1}, 1});
  EXPECT_THAT(kept(row), ElementsAre(0, 2));
}

}  // namespace
}  // namespace deepspeed::inference
