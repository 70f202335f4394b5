#include "deepspeed/inference/generate.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "tests/inference/tiny_models.h"

namespace deepspeed::inference {
namespace {

using config::Json;
using testing::HasSubstr;

const std::vector<std::string> kFamilies = {"llama",    "gpt2", "mistral", "bloom",
                                            "gpt_neox", "opt",  "phi3",    "qwen2"};

// Prompts of 1 to 19 tokens, and what is asked of each; between them everything that keeps several rows.
std::vector<Request> ragged(int64_t vocabulary) {
  std::vector<Request> requests;
  const char* asked[] = {
      R"({"max_new_tokens": 9, "eos_token_id": null})",
      R"({"max_new_tokens": 14, "do_sample": true, "seed": 5, "temperature": 2.0})",
      R"({"max_new_tokens": 6, "num_beams": 3, "num_return_sequences": 2})",
      R"({"max_new_tokens": 11, "do_sample": true, "n": 3, "seed": 6, "top_p": 0.9, "temperature": 1.5})",
      R"({"max_new_tokens": 3, "repetition_penalty": 1.5})"};
  for (size_t i = 0; i < std::size(asked); ++i) {
    Request one;
    for (size_t t = 0; t < (i == 3 ? 1 : 4 * i + 3); ++t)
      one.prompt.push_back(
          static_cast<int32_t>((7 + 13 * i + 29 * t + t * t) % static_cast<size_t>(vocabulary)));
    one.config = parse_generation(Json::parse(asked[i]));
    requests.push_back(one);
  }
  return requests;
}

void expect_equal(const Answer& a, const Answer& b, const std::string& what) {
  ASSERT_EQ(a.sequences.size(), b.sequences.size()) << what;
  for (size_t i = 0; i < a.sequences.size(); ++i)
    EXPECT_EQ(a.sequences[i].tokens, b.sequences[i].tokens) << what;
}

class Families : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Tiny, Families, testing::ValuesIn(kFamilies),
                         [](const auto& info) { return info.param; });

TEST_P(Families, ARaggedBatchIsEachPromptAlone) {
  const auto model = tiny_model(GetParam());
  const std::vector<Request> requests = ragged(model->spec().vocab);
  const auto together = generate(*model, requests);
  std::vector<Request> turned(requests.rbegin(), requests.rend());
  const auto backwards = generate(*model, turned);
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::string what = fmt::format("request {}", i);
    expect_equal(together[i], generate(*model, {requests[i]})[0], what);
    expect_equal(together[i], backwards[requests.size() - 1 - i], what + " in a batch turned round");
  }
}

TEST_P(Families, RowsThatBeginLaterHaveTheLogitsOfTheSequenceAlone) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(GetParam());
  model->eval();
  const int64_t length = 12, steps = 5, vocabulary = model->spec().vocab;
  const std::vector<int64_t> padding = {0, 4, 11};
  at::Tensor ids =
      at::arange(3 * (length + steps)).view({3, length + steps}).mul(7).add(3).remainder(vocabulary);
  at::Tensor starts = at::arange(length + steps, at::kInt).repeat({3, 1});
  for (int64_t r = 0; r < 3; ++r) starts[r].clamp_max_(padding[static_cast<size_t>(r)]);
  nn::ContiguousKvCache cache(static_cast<size_t>(model->spec().layers), length + steps);
  std::vector<at::Tensor> parts;
  for (int64_t from = 0; from < length + steps; from = from == 0 ? length : from + 1) {
    const int64_t count = from == 0 ? length : 1;
    parts.push_back(
        model->logits(ids.narrow(1, from, count), &cache, starts.narrow(1, from, count).contiguous()));
  }
  const at::Tensor logits = at::cat(parts, 1);
  for (int64_t r = 0; r < 3; ++r) {
    const int64_t begin = padding[static_cast<size_t>(r)], rest = length + steps - begin;
    const at::Tensor alone = model->logits(ids[r].narrow(0, begin, rest).unsqueeze(0));
    EXPECT_LT((logits[r].narrow(0, begin, rest) - alone[0]).abs().max().item<double>(), 1e-4) << "row " << r;
  }
}

TEST(Generate, AShortPromptGoesOnPastTheEndOfALongerOne) {
  // 96 positions: the second row's places go beyond them once the first is gone, its positions do not.
  const auto model = tiny_model("gpt2");
  std::vector<Request> requests(2);
  for (int32_t t = 0; t < 92; ++t) requests[0].prompt.push_back(t);
  requests[1].prompt = {5, 6, 7};
  requests[0].config = requests[1].config = parse_generation({{"max_new_tokens", 1000}});
  const auto answers = generate(*model, requests);
  EXPECT_EQ(answers[0].sequences[0].tokens.size(), 4u);
  EXPECT_EQ(answers[1].sequences[0].tokens.size(), 93u) << "it ends at the model's last position";
  EXPECT_EQ(answers[1].sequences[0].finish, FinishReason::kLength);
  expect_equal(answers[1], generate(*model, {requests[1]})[0], "alone");
}

TEST(Generate, TheLengthsAreTransformers) {
  const auto model = tiny_model("gpt2");
  const auto made = [&](const Json& request) {
    return generate(*model, {{{1, 2, 3}, parse_generation(request)}})[0].sequences[0].tokens.size();
  };
  EXPECT_EQ(made(Json::object()), 20u);
  EXPECT_EQ(made({{"max_length", 10}}), 7u);
  EXPECT_EQ(made({{"max_length", 10}, {"max_new_tokens", 8}}), 8u);
}

TEST(Generate, DrawsRepeatUnderASeedAndTellOneThatCanBeAskedForAgain) {
  const auto model = tiny_model("llama");
  Request request{{5, 6},
                  parse_generation({{"do_sample", true}, {"max_new_tokens", 12}, {"temperature", 3.0}})};
  const Answer a = generate(*model, {request})[0], b = generate(*model, {request})[0];
  EXPECT_NE(a.sequences[0].tokens, b.sequences[0].tokens);
  request.config.seed = static_cast<int64_t>(a.seed);
  expect_equal(generate(*model, {request})[0], a, "the same seed");
}

TEST(Generate, FrequenciesOfDrawsAreTheModelsProbabilities) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model("mistral");
  Request request{
      {9, 8, 7},
      parse_generation(
          {{"do_sample", true}, {"max_new_tokens", 1}, {"n", 1000}, {"top_k", 12}, {"temperature", 2.0}})};
  std::vector<Request> requests;
  for (int64_t seed = 0; seed < 10; ++seed) {
    request.config.seed = seed;
    requests.push_back(request);
  }
  const at::Tensor scores = model->logits(at::tensor({9L, 8L, 7L}, at::kLong).unsqueeze(0))[0][2] / 2.0;
  auto [kept, ids] = scores.topk(12);
  const at::Tensor want = kept.to(at::kDouble).softmax(0) * 10000;
  std::vector<double> counts(12);
  for (const Answer& answer : generate(*model, requests))
    for (const Sequence& one : answer.sequences) {
      const auto place = (ids == int64_t{one.tokens[0]}).nonzero();
      ASSERT_EQ(place.numel(), 1) << "a token outside the first twelve";
      ++counts[static_cast<size_t>(place.item<int64_t>())];
    }
  double chi_square = 0;
  for (size_t i = 0; i < 12; ++i) {
    const double w = want[static_cast<int64_t>(i)].item<double>();
    chi_square += (counts[i] - w) * (counts[i] - w) / w;
  }
  EXPECT_LT(chi_square, 31.3) << "0.999 of chi-square with 11 degrees of freedom";
}

TEST(Generate, StreamsWhatItReturns) {
  const auto model = tiny_model("llama");
  const auto tokenizer = text::Tokenizer::from_file(std::filesystem::path(DS_SOURCE_DIR) /
                                                    "tests/inference/goldens/tokenizer.json");
  std::vector<Request> requests = ragged(model->spec().vocab);
  for (Request& one : requests) {
    if (one.config.num_beams == 1) one.config.max_new_tokens = 40;
    one.config.stop_strings = {"a1", "b2b", "f."};
    one.config.echo = one.prompt.size() == 1;
  }
  std::vector<std::vector<std::string>> texts(requests.size());
  std::vector<std::vector<size_t>> ends(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    texts[i].resize(3);
    ends[i].resize(3);
  }
  const auto answers =
      generate(*model, requests, {.tokenizer = &tokenizer, .listener = [&](const Progress& p) {
                                    texts[p.request][p.sequence] += p.text;
                                    ends[p.request][p.sequence] += p.finish.has_value();
                                    return true;
                                  }});
  size_t stopped = 0;
  for (size_t r = 0; r < answers.size(); ++r)
    for (size_t s = 0; s < answers[r].sequences.size(); ++s) {
      const Sequence& one = answers[r].sequences[s];
      EXPECT_EQ(texts[r][s], one.text);
      EXPECT_EQ(ends[r][s], 1u);
      for (const std::string& stop : requests[r].config.stop_strings)
        EXPECT_EQ(one.text.find(stop, requests[r].config.echo ? 3 : 0), std::string::npos) << one.text;
      stopped += one.stop_string.has_value();
      if (requests[r].config.echo) {
        EXPECT_TRUE(one.text.starts_with(tokenizer.decode(requests[r].prompt)));
      }
    }
  EXPECT_GE(stopped, 3u);
}

TEST(Generate, AStopStringThatIsASpecialTokenEndsThere) {
  const auto model = tiny_model("llama");
  const auto tokenizer = text::Tokenizer::from_file(std::filesystem::path(DS_SOURCE_DIR) /
                                                    "tests/inference/goldens/tokenizer.json");
  const auto request =
      parse_generation(Json::parse(R"({"stop": ["</s>"], "sequence_bias": [[[2], 1000.0]]})"));
  const auto answer = generate(*model, {{{9}, request}}, {.tokenizer = &tokenizer})[0].sequences[0];
  EXPECT_EQ(answer.tokens, std::vector<int32_t>{2});
  EXPECT_EQ(answer.text, "");
  EXPECT_EQ(answer.finish, FinishReason::kStop);
}

std::string error_of(models::Decoder& model, const std::vector<Request>& requests) {
  try {
    generate(model, requests);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

TEST(Generate, BadRequestsAreRefusedByTheirNumberBeforeAnythingIsComputed) {
  const auto model = tiny_model("gpt2");
  const Request good{{1, 2}, {}};
  EXPECT_THAT(error_of(*model, {good, {{}, {}}}), HasSubstr("request 1: generation needs a prompt"));
  EXPECT_THAT(error_of(*model, {{{1, 257}, {}}}),
              HasSubstr("prompt token 257 is not in the vocabulary of 257"));
  EXPECT_THAT(error_of(*model, {{{-1}, {}}}), HasSubstr("prompt token -1"));
  EXPECT_THAT(error_of(*model, {{std::vector<int32_t>(96, 1), {}}}),
              HasSubstr("a prompt of 96 tokens leaves no room in 96"));
  EXPECT_THAT(error_of(*model, {{std::vector<int32_t>(100000, 1), {}}}), HasSubstr("leaves no room"));
  EXPECT_THAT(error_of(*model, {{{1, 2, 3}, parse_generation({{"max_length", 3}})}}),
              HasSubstr("leaves no room in 3"));
  EXPECT_THAT(error_of(*model, {good, good, {{1}, parse_generation({{"forced_bos_token_id", 300}})}}),
              HasSubstr("request 2: forced_bos_token_id: token 300"));
  EXPECT_THAT(error_of(*model, {{{1}, parse_generation({{"stop", "x"}})}}), HasSubstr("tokenizer"));
  EXPECT_TRUE(generate(*model, {}).empty());
  EXPECT_TRUE(model->is_training()) << "its mode is what it was";
}

TEST(Generate, TheCacheGrowsAndDropsRows) {
  nn::ContiguousKvCache cache(2, 2);
  const at::Tensor first = at::arange(24, at::kFloat).view({3, 1, 2, 4});
  for (size_t layer = 0; layer < 2; ++layer) cache.append(layer, first, first + 100);
  cache.advance(2);
  EXPECT_THROW(cache.append(0, first, first), base::Error);
  cache.reserve(5);
  EXPECT_EQ(cache.capacity(), 5);
  cache.select_rows({2, 0, 2, 1});
  const at::Tensor more = at::full({4, 1, 1, 4}, -1.0F);
  const auto [keys, values] = cache.append(1, more, more);
  EXPECT_EQ(keys.sizes(), at::IntArrayRef({4, 1, 3, 4}));
  EXPECT_TRUE(at::equal(keys.narrow(2, 0, 2), first.index_select(0, at::tensor({2, 0, 2, 1}))));
  EXPECT_TRUE(at::equal(values.narrow(2, 0, 2), first.index_select(0, at::tensor({2, 0, 2, 1})) + 100));
  EXPECT_THROW(cache.select_rows({4}), base::Error);
  EXPECT_THROW(cache.select_rows({-1}), base::Error);
}

}  // namespace
}  // namespace deepspeed::inference
