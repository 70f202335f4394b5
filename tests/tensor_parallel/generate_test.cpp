// inference::generate on a sharded model: every rank runs the same searches over the same scores.
#include "deepspeed/inference/generate.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <set>

#include "deepspeed/comm/ranks.h"
#include "tests/tensor_parallel/tiny.h"

namespace deepspeed::tensor_parallel {
namespace {

using inference::Answer;
using inference::Request;

// Prompts of several lengths, and all kinds of search.
std::vector<Request> requests_for(int64_t vocabulary) {
  const char* asked[] = {
      R"({"max_new_tokens": 12, "eos_token_id": null})",
      R"({"max_new_tokens": 14, "do_sample": true, "seed": 5, "temperature": 1.5, "eos_token_id": null})",
      R"({"max_new_tokens": 8, "num_beams": 3, "num_return_sequences": 2, "eos_token_id": null})",
      R"({"max_new_tokens": 9, "do_sample": true, "n": 3, "seed": 6, "top_p": 0.9, "eos_token_id": null})"};
  std::vector<Request> requests;
  for (size_t i = 0; i < std::size(asked); ++i) {
    Request one;
    for (size_t t = 0; t < 5 * i + 3; ++t)
      one.prompt.push_back(static_cast<int32_t>((7 + 13 * i + 29 * t) % static_cast<size_t>(vocabulary)));
    one.config = inference::parse_generation(config::Json::parse(asked[i]));
    requests.push_back(one);
  }
  return requests;
}

std::vector<std::vector<int32_t>> tokens_of(const std::vector<Answer>& answers) {
  std::vector<std::vector<int32_t>> tokens;
  for (const Answer& answer : answers)
    for (const auto& sequence : answer.sequences) tokens.push_back(sequence.tokens);
  return tokens;
}

class Generation : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(TensorParallel, Generation,
                         testing::Values("llama", "gpt2", "bloom", "gpt_neox", "mistral", "gemma3", "phi3",
                                         "mixtral", "opt"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(Generation, OnSeveralRanksIsThatOfOneGreedySampledAndWithBeams) {
  const auto whole = whole_model(GetParam());
  const auto requests = requests_for(whole->spec().vocab);
  const auto alone = tokens_of(inference::generate(*whole, requests));
  ASSERT_EQ(alone.size(), 7u);
  for (const int n : {2, 3})
    comm::run_ranks(n, [&](comm::GroupPtr group) {
      const auto model = sharded_model(GetParam(), group);
      EXPECT_EQ(tokens_of(inference::generate(*model, requests)), alone) << n << " ranks";
    });
}

TEST(AgreedSeed, IsRankZerosOnEveryRankAndAnotherEachTime) {
  std::vector<uint64_t> first(3), second(3);
  comm::run_ranks(3, [&](comm::GroupPtr group) {
    first[static_cast<size_t>(group->rank())] = agreed_seed(*group);
    second[static_cast<size_t>(group->rank())] = agreed_seed(*group);
  });
  EXPECT_EQ(std::set(first.begin(), first.end()).size(), 1u);
  EXPECT_EQ(std::set(second.begin(), second.end()).size(), 1u);
  EXPECT_NE(first[0], second[0]);
}

}  // namespace
}  // namespace deepspeed::tensor_parallel
