#include "deepspeed/inference/search.h"

#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <set>

#include "deepspeed/base/error.h"

namespace deepspeed::inference {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Rows = std::vector<std::vector<float>>;

std::vector<Continuation> advance(Search& search, const Rows& rows) {
  const std::vector<std::span<const float>> views(rows.begin(), rows.end());
  return search.advance(views);
}

/// A model whose scores after a token are a row of a table.
std::vector<Sequence> run(const SearchInputs& inputs, const Rows& table) {
  const auto search = make_search(inputs);
  std::vector<Continuation> next = {{0, inputs.prompt.back()}};
  while (!next.empty()) {
    Rows rows;
    for (const Continuation& one : next) rows.push_back(table[static_cast<size_t>(one.token)]);
    next = advance(*search, rows);
  }
  return search->finish();
}

Rows random_table(size_t vocabulary, double spread = 2) {
  Rows table(vocabulary, std::vector<float>(vocabulary));
  for (size_t i = 0; i < vocabulary; ++i)
    for (size_t j = 0; j < vocabulary; ++j)
      table[i][j] = static_cast<float>(spread * (2 * draw_uniform(99, i, j) - 1));
  return table;
}

/// The 0.999 quantile of chi-square, by Wilson and Hilferty.
double most_chi_square(double degrees) {
  return degrees * std::pow(1 - 2 / (9 * degrees) + 3.09 * std::sqrt(2 / (9 * degrees)), 3);
}

double chi_square(const std::map<int32_t, double>& counts, const std::vector<double>& probability,
                  double total) {
  double sum = 0;
  for (size_t i = 0; i < probability.size(); ++i) {
    if (probability[i] == 0) continue;
    const auto found = counts.find(static_cast<int32_t>(i));
    const double want = probability[i] * total, got = found == counts.end() ? 0 : found->second;
    sum += (got - want) * (got - want) / want;
  }
  return sum;
}

std::vector<double> probabilities(std::vector<float> row) {
  std::vector<double> out(row.size(), 0);
  for (const Candidate& one : candidates(row)) out[static_cast<size_t>(one.token)] = one.probability;
  return out;
}

TEST(Draws, FrequenciesAreTheProbabilities) {
  const std::vector<float> row = random_table(20)[3];
  constexpr int kDraws = 200000;
  std::map<int32_t, double> counts;
  for (uint64_t i = 0; i < kDraws; ++i) ++counts[draw_token(row, draw_uniform(1, 2, i))];
  EXPECT_LT(chi_square(counts, probabilities(row), kDraws), most_chi_square(19));
}

TEST(Draws, EveryFiltersFrequenciesAreThoseOfWhatItKeeps) {
  const std::vector<float> scores = random_table(20)[5];
  for (
      const char* request :
      {R"({"temperature": 0.7})", R"({"top_k": 4})", R"({"top_p": 0.8})", R"({"min_p": 0.2})",
       R"({"typical_p": 0.7})", R"({"epsilon_cutoff": 0.05})", R"({"eta_cutoff": 0.3})", R"({"top_h": 0.6})",
       R"({"repetition_penalty": 1.5, "presence_penalty": 0.5, "top_k": 10, "top_p": 0.9, "temperature": 1.3})"}) {
    config::Json json = config::Json::parse(request);
    json["do_sample"] = true;
    json["n"] = 1000;
    json["max_new_tokens"] = 1;
    if (!json.contains("top_k")) json["top_k"] = 0;
    SearchInputs inputs{.prompt = {4, 9}, .config = parse_generation(json), .max_length = 3};
    std::vector<float> kept = scores;
    LogitsProcessor(inputs.config, 2, 3)(kept, {inputs.prompt, 2});
    const auto want = probabilities(kept);
    std::map<int32_t, double> counts;
    for (inputs.seed = 0; inputs.seed < 20; ++inputs.seed) {
      const auto search = make_search(inputs);
      EXPECT_TRUE(advance(*search, {scores}).empty());
      for (const Sequence& one : search->finish()) ++counts[one.tokens.at(0)];
    }
    for (const auto& [token, count] : counts)
      EXPECT_GT(want[static_cast<size_t>(token)], 0) << request << token;
    const auto degrees = std::count_if(want.begin(), want.end(), [](double p) { return p > 0; }) - 1;
    ASSERT_GE(degrees, 1) << request;
    EXPECT_LT(chi_square(counts, want, 20000), most_chi_square(static_cast<double>(degrees))) << request;
  }
}

TEST(Draws, StreamsOfSeedsSequencesAndStepsDiffer) {
  EXPECT_EQ(draw_uniform(1, 2, 3), draw_uniform(1, 2, 3));
  EXPECT_NE(draw_uniform(1, 2, 3), draw_uniform(2, 2, 3));
  EXPECT_NE(draw_uniform(1, 2, 3), draw_uniform(1, 3, 3));
  EXPECT_NE(draw_uniform(1, 2, 3), draw_uniform(1, 2, 4));
}

TEST(Draws, TheEndsOfTheIntervalAreTokensThatCanBeChosen) {
  const std::vector<float> row = {kBanned, -200, 1, 1, -200, kBanned};
  EXPECT_EQ(draw_token(row, 0), 2);
  EXPECT_EQ(draw_token(row, std::nextafter(1.0, 0.0)), 3);
}

TEST(LineSearch, ManySequencesAreEachAsAlone) {
  const Rows table = random_table(12);
  SearchInputs inputs{
      .prompt = {1}, .config = parse_generation({{"do_sample", true}, {"n", 5}}), .max_length = 9, .seed = 3};
  const auto five = run(inputs, table);
  inputs.config.num_return_sequences = 2;
  const auto two = run(inputs, table);
  ASSERT_EQ(five.size(), 5u);
  EXPECT_EQ(two[0].tokens, five[0].tokens);
  EXPECT_EQ(two[1].tokens, five[1].tokens);
  EXPECT_NE(five[0].tokens, five[1].tokens);
}

TEST(LineSearch, EndTokensAndStopTokensBothEndASequence) {
  Rows table(6, std::vector<float>(6, 0));
  for (size_t i = 0; i < 6; ++i) table[i][(i + 1) % 6] = 5;
  SearchInputs inputs{.prompt = {0}, .max_length = 50};
  const auto tokens = [&](const char* request) {
    inputs.config = parse_generation(config::Json::parse(request));
    return run(inputs, table)[0];
  };
  EXPECT_THAT(tokens(R"({"eos_token_id": 3})").tokens, ElementsAre(1, 2, 3));
  const Sequence both = tokens(R"({"eos_token_id": 3, "stop_token_ids": [2]})");
  EXPECT_THAT(both.tokens, ElementsAre(1, 2));
  EXPECT_EQ(both.end_token, 2);
  EXPECT_EQ(both.finish, FinishReason::kStop);
  EXPECT_THAT(tokens(R"({"eos_token_id": 3, "ignore_eos": true, "stop_token_ids": [5]})").tokens,
              ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(tokens(R"({"eos_token_id": 99})").finish, FinishReason::kLength);
  EXPECT_THAT(tokens(R"({"eos_token_id": 3, "echo": true})").tokens, ElementsAre(0, 1, 2, 3));
}

TEST(LineSearch, MinimumLengthsCountNewTokensEvenAfterLongPrompts) {
  Rows table(4, {0, 5, 1, 0});
  SearchInputs inputs{.prompt = std::vector<int32_t>(30, 0), .max_length = 50};
  inputs.config = parse_generation({{"eos_token_id", 1}, {"min_new_tokens", 3}});
  EXPECT_THAT(run(inputs, table)[0].tokens, ElementsAre(2, 2, 2, 1)) << "DeepSpeed-MII counts the prompt";
}

TEST(LineSearch, TheListenerMayCancelASequence) {
  const Rows table = random_table(12);
  SearchInputs inputs{
      .prompt = {1}, .config = parse_generation({{"do_sample", true}, {"n", 3}}), .max_length = 9, .seed = 3};
  const auto whole = run(inputs, table);
  std::vector<size_t> heard(3);
  inputs.request = 7;
  inputs.listener = [&](const Progress& p) {
    EXPECT_EQ(p.request, 7u);
    return !(++heard[p.sequence] == 2 && p.sequence == 1);
  };
  const auto cut = run(inputs, table);
  EXPECT_THAT(heard, ElementsAre(8, 2, 8));
  EXPECT_EQ(cut[1].finish, FinishReason::kCancelled);
  EXPECT_EQ(cut[1].tokens.size(), 2u);
  EXPECT_EQ(cut[0].tokens, whole[0].tokens);
  EXPECT_EQ(cut[2].tokens, whole[2].tokens);
}

std::string error_of(const SearchInputs& inputs, const Rows& table) {
  try {
    run(inputs, table);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

TEST(Search, WhatCannotGoOnSaysSo) {
  Rows table(3, {0, 1, 2});
  EXPECT_THAT(error_of({.prompt = {}, .max_length = 5}, {}), HasSubstr("at least one token"));
  EXPECT_THAT(error_of({.prompt = {1, 1}, .max_length = 2}, table), HasSubstr("leaves no room"));
  EXPECT_THAT(error_of({.prompt = {1}, .config = parse_generation({{"stop", "x"}}), .max_length = 5}, table),
              HasSubstr("tokenizer"));
  for (const int beams : {1, 2})
    for (const bool draws : {false, true}) {
      const config::Json request = {
          {"num_beams", beams}, {"do_sample", draws}, {"suppress_tokens", {0, 1, 2}}};
      EXPECT_THAT(error_of({.prompt = {1}, .config = parse_generation(request), .max_length = 5}, table),
                  HasSubstr("no token is left"));
    }
  table[1][2] = std::nanf("");
  EXPECT_THAT(error_of({.prompt = {1}, .max_length = 5}, table), HasSubstr("not finite"));
  EXPECT_EQ(
      error_of(
          {.prompt = {1}, .config = parse_generation({{"remove_invalid_values", true}}), .max_length = 5},
          table),
      "");
}

/// All continuations to the full length, by their total log probability.
std::vector<std::pair<double, std::vector<int32_t>>> every_sequence(const Rows& table, int32_t from,
                                                                    size_t length) {
  std::vector<std::pair<double, std::vector<int32_t>>> all = {{0, {from}}};
  for (size_t step = 0; step < length; ++step) {
    std::vector<std::pair<double, std::vector<int32_t>>> next;
    for (const auto& [score, tokens] : all) {
      const auto& row = table[static_cast<size_t>(tokens.back())];
      for (size_t t = 0; t < row.size(); ++t) {
        next.push_back({score + row[t] - log_sum_exp(row), tokens});
        next.back().second.push_back(static_cast<int32_t>(t));
      }
    }
    all = std::move(next);
  }
  std::sort(all.rbegin(), all.rend());
  return all;
}

TEST(BeamSearch, WithEnoughBeamsFindsTheBestSequencesOfAll) {
  const Rows table = random_table(5, 1.5);
  const auto best = every_sequence(table, 2, 4);
  SearchInputs inputs{.prompt = {2},
                      .config = parse_generation({{"num_beams", 125}, {"n", 6}, {"length_penalty", 0.0}}),
                      .max_length = 5};
  const auto found = run(inputs, table);
  ASSERT_EQ(found.size(), 6u);
  std::set<std::vector<int32_t>> different;
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(found[i].score, best[i].first, 1e-5) << i;
    EXPECT_EQ(found[i].finish, FinishReason::kLength);
    different.insert(found[i].tokens);
    std::vector<int32_t> whole = {2};  // two sequences of the same steps are equally good
    whole.insert(whole.end(), found[i].tokens.begin(), found[i].tokens.end());
    const auto same =
        std::find_if(best.begin(), best.end(), [&](const auto& one) { return one.second == whole; });
    ASSERT_NE(same, best.end());
    EXPECT_NEAR(same->first, best[i].first, 1e-9) << i;
  }
  EXPECT_EQ(different.size(), 6u);
}

TEST(BeamSearch, LogProbabilitiesFollowTheBeamTheyBelongTo) {
  const Rows table = random_table(9, 1.5);
  SearchInputs inputs{
      .prompt = {2},
      .config = parse_generation({{"num_beams", 4}, {"n", 4}, {"logprobs", 1}, {"eos_token_id", 3}}),
      .max_length = 12};
  for (const Sequence& one : run(inputs, table)) {
    double sum = 0;
    int32_t last = 2;
    ASSERT_EQ(one.logprobs.size(), one.tokens.size());
    for (size_t i = 0; i < one.tokens.size(); ++i) {
      const auto& row = table[static_cast<size_t>(last)];
      last = one.tokens[i];
      EXPECT_NEAR(one.logprobs[i].logprob, row[static_cast<size_t>(last)] - log_sum_exp(row), 1e-5);
      sum += one.logprobs[i].logprob;
    }
    EXPECT_NEAR(one.score, sum / static_cast<double>(one.tokens.size()), 1e-5);
  }
}

TEST(BeamSearch, DrawsWithoutReplacementByTheProbabilities) {
  // The first option drawn is token t with its probability, the second another one with what is left.
  const std::vector<float> row = random_table(6)[1];
  const auto p = probabilities(row);
  std::vector<double> either(6);  // that t is one of the first two
  for (size_t i = 0; i < 6; ++i)
    for (size_t j = 0; j < 6; ++j)
      if (i != j) {
        either[i] += p[i] * p[j] / (1 - p[i]);
        either[j] += p[i] * p[j] / (1 - p[i]);
      }
  constexpr int kRounds = 20000;
  std::vector<double> counts(6);
  SearchInputs inputs{.prompt = {1},
                      .config = parse_generation({{"num_beams", 2}, {"n", 2}, {"do_sample", true}}),
                      .max_length = 2};
  for (inputs.seed = 0; inputs.seed < kRounds; ++inputs.seed) {
    const auto search = make_search(inputs);
    EXPECT_TRUE(advance(*search, {row}).empty());
    const auto found = search->finish();
    ASSERT_EQ(found.size(), 2u);
    EXPECT_GE(found[0].score, found[1].score);
    for (const Sequence& one : found) ++counts[static_cast<size_t>(one.tokens[0])];
  }
  for (size_t i = 0; i < 6; ++i) {
    const double deviation = std::sqrt(kRounds * either[i] * (1 - either[i]));
    EXPECT_NEAR(counts[i], kRounds * either[i], 4 * deviation) << i;
  }
}

TEST(BeamSearch, MoreAnswersThanCanEndAreNotMadeUp) {
  SearchInputs inputs{.prompt = {1},
                      .config = parse_generation({{"num_beams", 4}, {"n", 4}, {"suppress_tokens", {0, 1}}}),
                      .max_length = 2};
  const auto found = run(inputs, Rows(3, {0, 1, 2}));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(found[0].tokens, ElementsAre(2));
}

TEST(BeamSearch, TheListenerHearsTheAnswersAtTheEnd) {
  const Rows table = random_table(9);
  SearchInputs inputs{
      .prompt = {2}, .config = parse_generation({{"num_beams", 3}, {"n", 2}}), .max_length = 6};
  std::vector<size_t> heard;
  inputs.listener = [&](const Progress& p) {
    EXPECT_TRUE(p.finish);
    heard.push_back(p.sequence);
    return true;
  };
  run(inputs, table);
  EXPECT_THAT(heard, ElementsAre(0, 1));
}

}  // namespace
}  // namespace deepspeed::inference
