#include <gtest/gtest.h>

#include "deepspeed/base/error.h"
#include "deepspeed/nn/attention.h"
#include "deepspeed/nn/kv_cache.h"
#include "deepspeed/nn/materializer.h"
#include "deepspeed/nn/mlp.h"
#include "deepspeed/nn/norm.h"

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
        auto table = [&](int64_t length, int64_t offset) { return ops::rotary_table(6, length, offset); };
        const auto all = table(7, 0);
        const at::Tensor whole =
            attention.forward(x, rotary ? std::optional(all) : std::nullopt, static_cast<KvCache*>(nullptr));
        ContiguousKvCache cache(1, 7);
        for (auto [from, count] : std::vector<std::pair<int64_t, int64_t>>{{0, 4}, {4, 1}, {5, 2}}) {
          const auto part = table(count, from);
          const at::Tensor step =
              attention.forward(x.narrow(1, from, count), rotary ? std::optional(part) : std::nullopt,
                                static_cast<KvCache*>(&cache));
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
  auto run = [&] {
    return attention.forward(x, std::optional<ops::RotaryTable>(), static_cast<KvCache*>(nullptr)).detach();
  };
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
