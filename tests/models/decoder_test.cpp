#include "deepspeed/models/decoder.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "deepspeed/base/error.h"
#include "deepspeed/models/generate.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::models {
namespace {

ArchSpec tiny(const std::string& type, double dropout = 0) {
  if (type == "gpt2")
    return parse_arch_spec({{"model_type", "gpt2"},
                            {"vocab_size", 31},
                            {"n_positions", 12},
                            {"n_embd", 16},
                            {"n_layer", 2},
                            {"n_head", 2},
                            {"embd_pdrop", dropout},
                            {"attn_pdrop", dropout},
                            {"resid_pdrop", dropout},
                            {"initializer_range", 0.4}},
                           "config.json");
  return parse_arch_spec({{"model_type", "llama"},
                          {"vocab_size", 31},
                          {"max_position_embeddings", 12},
                          {"hidden_size", 16},
                          {"num_hidden_layers", 2},
                          {"num_attention_heads", 4},
                          {"num_key_value_heads", 2},
                          {"intermediate_size", 24},
                          {"initializer_range", 0.4}},
                         "config.json");
}

std::shared_ptr<Decoder> made(const ArchSpec& spec, nn::RngPtr rng = nullptr) {
  auto model = std::make_shared<Decoder>(spec, rng);
  nn::DenseMaterializer().materialize(nn::list_parameters(*model), nn::InitSource(1));
  return model;
}

TEST(Decoder, LossIsTheMeanCrossEntropyOfTheNextToken) {
  for (const char* type : {"gpt2", "llama"}) {
    auto model = made(tiny(type));
    const at::Tensor ids = at::randint(31, {3, 9}, at::kLong);
    at::Tensor labels = ids.clone();
    labels.index_put_({0, 4}, -100);
    const at::Tensor logits = model->logits(ids).narrow(1, 0, 8).reshape({-1, 31});
    const at::Tensor want = at::cross_entropy_loss(logits, labels.narrow(1, 1, 8).reshape({-1}));
    EXPECT_NEAR(model->forward(ids, labels).item<double>(), want.item<double>(), 1e-5) << type;
  }
}

TEST(Decoder, RefusesTooLongSequencesAndWrongShapes) {
  auto model = made(tiny("gpt2"));
  EXPECT_THROW(model->logits(at::zeros({1, 13}, at::kLong)), base::Error);
  EXPECT_THROW(model->logits(at::zeros({4}, at::kLong)), base::Error);
  EXPECT_THROW(model->forward(at::zeros({1, 4}, at::kLong), at::zeros({1, 5}, at::kLong)), base::Error);
}

TEST(Decoder, PackedDocumentsHaveTheLogitsAndGradientsOfEachAlone) {
  for (const char* type : {"gpt2", "llama"}) {
    auto model = made(tiny(type));
    const at::Tensor ids = at::randint(31, {2, 12}, at::kLong);
    at::Tensor labels = ids.clone();
    const std::vector<std::vector<int64_t>> cuts = {{0, 5, 6, 12}, {0, 9, 12}};
    at::Tensor starts = at::zeros({2, 12}, at::kInt);
    at::Tensor alone = at::zeros({});
    for (int64_t row = 0; row < 2; ++row) {
      const auto& cut = cuts[static_cast<size_t>(row)];
      for (size_t d = 0; d + 1 < cut.size(); ++d) {
        const int64_t length = cut[d + 1] - cut[d];
        starts[row].narrow(0, cut[d], length).fill_(cut[d]);
        labels[row][cut[d]] = -100;
        const at::Tensor document = ids[row].narrow(0, cut[d], length).unsqueeze(0);
        if (length > 1) alone = alone + model->forward(document, document) * (length - 1);
      }
    }
    const at::Tensor logits = model->logits(ids, nullptr, starts);
    for (int64_t row = 0; row < 2; ++row) {
      const auto& cut = cuts[static_cast<size_t>(row)];
      for (size_t d = 0; d + 1 < cut.size(); ++d) {
        const at::Tensor document = ids[row].narrow(0, cut[d], cut[d + 1] - cut[d]).unsqueeze(0);
        EXPECT_LT((logits[row].narrow(0, cut[d], document.size(1)) - model->logits(document)[0])
                      .abs()
                      .max()
                      .item<double>(),
                  1e-5)
            << type << " row " << row << " document " << d;
      }
    }
    const int64_t predictions = 2 * 12 - 5;
    const at::Tensor loss = model->forward(ids, labels, std::optional<at::Tensor>(starts));
    EXPECT_NEAR(loss.item<double>(), alone.item<double>() / predictions, 1e-5) << type;
    const auto parameters = model->parameters();
    const auto together = torch::autograd::grad({loss}, parameters),
               apart = torch::autograd::grad({alone / predictions}, parameters);
    for (size_t i = 0; i < parameters.size(); ++i)
      EXPECT_TRUE(at::allclose(together[i], apart[i], 1e-4, 1e-6)) << type << " parameter " << i;
  }
}

TEST(Decoder, RefusesStartsOfAnotherShapeOrType) {
  auto model = made(tiny("gpt2"));
  EXPECT_THROW(model->logits(at::zeros({1, 4}, at::kLong), nullptr, at::zeros({1, 3}, at::kInt)),
               base::Error);
  EXPECT_THROW(model->logits(at::zeros({1, 4}, at::kLong), nullptr, at::zeros({1, 4}, at::kLong)),
               base::Error);
}

TEST(Decoder, PositionsAreTheDocumentsNotTheRows) {
  for (const char* type : {"gpt2", "llama"}) {
    auto model = made(tiny(type));  // of 12 positions
    const at::Tensor ids = at::randint(31, {1, 20}, at::kLong);
    at::Tensor starts = at::zeros({1, 20}, at::kInt);
    starts[0].narrow(0, 11, 9).fill_(11);
    const at::Tensor logits = model->logits(ids, nullptr, starts);
    const at::Tensor second = model->logits(ids.narrow(1, 11, 9));
    EXPECT_LT((logits.narrow(1, 11, 9) - second).abs().max().item<double>(), 1e-5) << type;
    starts.fill_(0);
    starts[0].narrow(0, 13, 7).fill_(13);
    EXPECT_THROW(model->logits(ids, nullptr, starts), base::Error) << "a document of 13";
  }
}

TEST(Decoder, DropoutIsAFunctionOfSeedRankAndStep) {
  auto loss = [](uint64_t seed, uint64_t rank, uint64_t step) {
    auto rng = std::make_shared<accel::Rng>(seed, rank);
    auto model = made(tiny("gpt2", 0.3), rng);
    rng->set_step(step);
    const at::Tensor ids = at::arange(10, at::kLong).view({1, 10});
    return model->forward(ids, ids).item<double>();
  };
  const double base = loss(1, 0, 0);
  EXPECT_EQ(base, loss(1, 0, 0));
  EXPECT_NE(base, loss(2, 0, 0));
  EXPECT_NE(base, loss(1, 1, 0));
  EXPECT_NE(base, loss(1, 0, 1));
}

TEST(Generate, GreedyTokensAreThoseOfAForwardWithoutACache) {
  for (const char* type : {"gpt2", "llama"}) {
    auto model = made(tiny(type));
    std::vector<int32_t> ids = {3, 1, 4};
    const auto fast = generate(*model, ids, {.max_new_tokens = 6, .temperature = 0});
    std::vector<int32_t> slow;
    at::NoGradGuard no_grad;
    for (int i = 0; i < 6; ++i) {
      const at::Tensor input = at::tensor(std::vector<int64_t>(ids.begin(), ids.end())).unsqueeze(0);
      slow.push_back(
          static_cast<int32_t>(model->logits(input).select(1, input.size(1) - 1).argmax().item<int64_t>()));
      ids.push_back(slow.back());
    }
    EXPECT_EQ(fast, slow) << type;
    EXPECT_TRUE(model->is_training());
  }
}

TEST(Generate, StopsAtTheLastPositionAndRepeatsUnderASeed) {
  auto model = made(tiny("gpt2"));
  const auto a = generate(*model, {1, 2}, {.max_new_tokens = 100, .seed = 4}),
             b = generate(*model, {1, 2}, {.max_new_tokens = 100, .seed = 4});
  EXPECT_EQ(a.size(), 10u);
  EXPECT_EQ(a, b);
  EXPECT_NE(a, generate(*model, {1, 2}, {.max_new_tokens = 100, .seed = 5}));
  EXPECT_THROW(generate(*model, {}, {}), base::Error);
  EXPECT_THROW(generate(*model, {31}, {}), base::Error);
}

}  // namespace
}  // namespace deepspeed::models
