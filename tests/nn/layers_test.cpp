#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "deepspeed/base/error.h"
#include "deepspeed/nn/attention.h"
#include "deepspeed/nn/kv_cache.h"
#include "deepspeed/nn/materializer.h"
#include "deepspeed/nn/mlp.h"
#include "deepspeed/nn/norm.h"
#include "deepspeed/nn/relative_bias.h"

namespace deepspeed::nn {
namespace {

TEST(Linear, BothWeightOrdersMultiplyAlike) {
  Linear out_in(DenseOptions{.in_features = 5, .out_features = 3}),
      in_out(DenseOptions{.in_features = 5, .out_features = 3, .order = WeightOrder::kInOut});
  DenseMaterializer().materialize(list_parameters(out_in), InitSource(1));
  DenseMaterializer().materialize(list_parameters(in_out), InitSource(2));
  at::NoGradGuard no_grad;
  in_out.named_parameters()["weight"].copy_(out_in.named_parameters()["weight"].t());
  in_out.named_parameters()["bias"].copy_(out_in.named_parameters()["bias"]);
  const at::Tensor x = at::rand({2, 4, 5});
  EXPECT_TRUE(at::allclose(out_in.forward(x), in_out.forward(x), 1e-5, 1e-6));
  EXPECT_THROW(out_in.forward(at::rand({2, 4})), base::Error);
}

TEST(Embedding, PaddingRowStartsAsZeroInAnySliceAndGetsNoGradient) {
  Embedding table(6, 4, Init::normal(1), 2), plain(6, 4, Init::normal(1));
  DenseMaterializer().materialize(list_parameters(table), InitSource(1));
  DenseMaterializer().materialize(list_parameters(plain), InitSource(1));
  at::Tensor want = plain.weight().detach().clone();
  want[2].zero_();
  EXPECT_TRUE(table.weight().detach().equal(want));
  for (int64_t begin = 0; begin < 24; ++begin) {
    at::Tensor slice = at::ones({std::min<int64_t>(5, 24 - begin)});
    InitSource(1).fill(list_parameters(table)[0], begin, slice);
    EXPECT_TRUE(slice.equal(want.view({-1}).narrow(0, begin, slice.numel()))) << begin;
  }
  table.forward(at::tensor({int64_t{2}, int64_t{3}})).sum().backward();
  EXPECT_EQ(table.weight().grad().sum().item<float>(), 4);
  EXPECT_EQ(table.weight().grad()[2].abs().sum().item<float>(), 0);
}

AttentionConfig attention_config(bool fused, int64_t kv_heads) {
  return {.layer = 0,
          .hidden = 24,
          .heads = 4,
          .kv_heads = kv_heads,
          .head_dim = 6,
          .fused_qkv = fused,
          .qkv_bias = true,
          .output_bias = true,
          .weight_init = Init::normal(0.4),
          .output_init = Init::normal(0.4)};
}

TEST(Attention, GivesTheSameWithACacheAsWithoutOne) {
  for (bool fused : {true, false})
    for (int64_t kv_heads : {4, 2}) {
      for (bool rotary : {false, true}) {
        Attention attention(attention_config(fused, kv_heads), nullptr);
        DenseMaterializer().materialize(list_parameters(attention), InitSource(3));
        at::NoGradGuard no_grad;
        const at::Tensor x = at::rand({2, 7, 24});
        const auto table = [rotary = rotary](int64_t length, int64_t offset) {
          return rotary ? std::optional(ops::rotary_table(6, length, offset)) : std::nullopt;
        };
        const at::Tensor whole = attention.forward(x, AttentionInputs{.rotary = table(7, 0)});
        ContiguousKvCache cache(1, 7);
        for (auto [from, count] : std::vector<std::pair<int64_t, int64_t>>{{0, 4}, {4, 1}, {5, 2}}) {
          const at::Tensor step = attention.forward(
              x.narrow(1, from, count), AttentionInputs{.rotary = table(count, from), .cache = &cache});
          cache.advance(count);
          EXPECT_TRUE(at::allclose(step, whole.narrow(1, from, count), 1e-4, 1e-5));
        }
      }
    }
}

TEST(Attention, DropsInTrainingOnlyAndRepeatsTheMaskOfAStep) {
  AttentionConfig config = attention_config(true, 4);
  config.attention_dropout = 0.5;
  auto rng = std::make_shared<accel::Rng>(1);
  Attention attention(config, rng);
  DenseMaterializer().materialize(list_parameters(attention), InitSource(3));
  const at::Tensor x = at::rand({1, 9, 24});
  auto run = [&] { return attention.forward(x).detach(); };
  rng->set_step(1);
  const at::Tensor first = run();
  EXPECT_TRUE(at::equal(first, run()));
  rng->set_step(2);
  EXPECT_FALSE(at::allclose(first, run()));
  attention.eval();
  const at::Tensor quiet = run();
  rng->set_step(3);
  EXPECT_TRUE(at::equal(quiet, run()));
}

TEST(Attention, AcrossToAMemoryIsWrittenOut) {
  AttentionConfig config = attention_config(false, 2);
  config.cross = true;
  Attention attention(config, nullptr);
  DenseMaterializer().materialize(list_parameters(attention), InitSource(3));
  const at::Tensor x = at::rand({2, 7, 24}), memory = at::rand({2, 3, 24});
  const std::optional<at::Tensor> ends = at::tensor({3, 2}, at::kInt);
  auto p = attention.named_parameters();
  const auto heads = [&](const char* name, const at::Tensor& of) {
    const std::string projection = name;
    const at::Tensor y = at::linear(of, p[projection + ".weight"], p[projection + ".bias"]);
    return y.view({2, of.size(1), -1, 6}).transpose(1, 2);
  };
  const at::Tensor k = heads("key", memory).repeat_interleave(2, 1),
                   v = heads("value", memory).repeat_interleave(2, 1);
  at::Tensor scores = at::matmul(heads("query", x), k.transpose(2, 3)) / std::sqrt(6.0);
  scores[1].select(2, 2).fill_(-INFINITY);
  const at::Tensor mixed = at::matmul(at::softmax(scores, -1), v).transpose(1, 2).reshape({2, 7, 24});
  const at::Tensor want = at::linear(mixed, p["output.weight"], p["output.bias"]);
  EXPECT_TRUE(at::allclose(attention.forward(x, AttentionInputs{.end_key = ends, .memory = memory}), want,
                           1e-4, 1e-5));

  // What was kept serves without the memory, for the rows that are chosen.
  MemoryKeys keys(1);
  at::NoGradGuard no_grad;
  attention.forward(x, AttentionInputs{.end_key = ends, .memory = memory, .memory_keys = &keys});
  const at::Tensor rows = at::tensor({1, 1, 0}, at::kLong);
  keys.select_rows(rows);
  const std::optional<at::Tensor> chosen_ends = ends->index_select(0, rows);
  EXPECT_TRUE(at::allclose(attention.forward(x.index_select(0, rows),
                                             AttentionInputs{.end_key = chosen_ends, .memory_keys = &keys}),
                           want.index_select(0, rows), 1e-4, 1e-5));
  EXPECT_THROW(attention.forward(x), base::Error);
}

TEST(RelativeBias, SharesBucketsBetweenFarDistances) {
  const auto bucket = [](int64_t distance, bool both_ways) {
    return relative_buckets(at::scalar_tensor(distance, at::kLong),
                            {.buckets = 8, .max_distance = 20, .both_ways = both_ways})
        .item<int64_t>();
  };
  // Half of the buckets each way, of which half have one distance each.
  EXPECT_EQ(bucket(0, true), 0);
  EXPECT_EQ(bucket(-1, true), 1);
  EXPECT_EQ(bucket(1, true), 5);
  EXPECT_EQ(bucket(-2, true), 2);
  EXPECT_EQ(bucket(-6, true), 2);
  EXPECT_EQ(bucket(-7, true), 3);
  EXPECT_EQ(bucket(300, true), 7);
  EXPECT_EQ(bucket(5, false), 0);
  EXPECT_EQ(bucket(-3, false), 3);
  EXPECT_EQ(bucket(-300, false), 7);
  EXPECT_THROW(RelativeBias({.buckets = 9, .max_distance = 20, .heads = 2}), base::Error);
  EXPECT_THROW(RelativeBias({.buckets = 32, .max_distance = 8, .heads = 2}), base::Error);
}

TEST(RelativeBias, BelongsToTheLastQueriesOfTheKeys) {
  RelativeBias bias({.buckets = 8, .max_distance = 20, .heads = 3, .init = Init::normal(1)});
  DenseMaterializer().materialize(list_parameters(bias), InitSource(3));
  const at::Tensor whole = bias.forward(9, 9);
  EXPECT_EQ(whole.sizes(), at::IntArrayRef({1, 3, 9, 9}));
  EXPECT_TRUE(at::equal(bias.forward(2, 9), whole.narrow(2, 7, 2)));
  EXPECT_TRUE(at::equal(whole.select(2, 3).select(2, 2), whole.select(2, 4).select(2, 3)));
  whole.sum().backward();
  EXPECT_NEAR(bias.parameters()[0].grad().sum().item<double>(), 3 * 81, 1e-3);
}

TEST(KvCache, RefusesMoreThanItsCapacity) {
  ContiguousKvCache cache(1, 3);
  const at::Tensor kv = at::ones({1, 1, 2, 4});
  cache.append(0, kv, kv);
  cache.advance(2);
  EXPECT_THROW(cache.append(0, kv, kv), base::Error);
}

TEST(Mlp, GatesWithSiluOfTheGate) {
  Mlp mlp({.hidden = 4,
           .intermediate = 6,
           .activation = Activation::kSwiGlu,
           .weight_init = Init::normal(0.5),
           .output_init = Init::normal(0.5)});
  DenseMaterializer().materialize(list_parameters(mlp), InitSource(3));
  auto p = mlp.named_parameters();
  const at::Tensor x = at::rand({3, 4});
  const at::Tensor want =
      at::linear(at::silu(at::linear(x, p["gate.weight"])) * at::linear(x, p["up.weight"]), p["down.weight"]);
  EXPECT_TRUE(at::allclose(mlp.forward(x), want, 1e-5, 1e-6));
}

TEST(Mlp, AppliesReluBetweenItsTwoMatrices) {
  Mlp mlp({.hidden = 4,
           .intermediate = 6,
           .activation = Activation::kRelu,
           .weight_init = Init::normal(0.5),
           .output_init = Init::normal(0.5)});
  DenseMaterializer().materialize(list_parameters(mlp), InitSource(3));
  auto p = mlp.named_parameters();
  const at::Tensor x = at::randn({3, 4});
  const at::Tensor want = at::linear(at::relu(at::linear(x, p["up.weight"])), p["down.weight"]);
  EXPECT_TRUE(at::allclose(mlp.forward(x), want, 1e-5, 1e-6));
}

TEST(Norm, HasABiasOnlyAsLayerNorm) {
  EXPECT_EQ(Norm(NormKind::kLayerNorm, 8, 1e-5).named_parameters().size(), 2u);
  EXPECT_EQ(Norm(NormKind::kRmsNorm, 8, 1e-5).named_parameters().size(), 1u);
}

}  // namespace
}  // namespace deepspeed::nn
