// Modules whose Linears were packed beside the same modules dense.
#include "deepspeed/nn/packed_projection.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "deepspeed/base/error.h"
#include "deepspeed/nn/attention.h"
#include "deepspeed/nn/materializer.h"
#include "deepspeed/nn/mlp.h"

namespace deepspeed::nn {
namespace {

using ops::PackedScheme;
using testing::ElementsAre;

AttentionConfig attention_config(bool fused, bool bias, int64_t kv_heads) {
  return {.layer = 0,
          .hidden = 64,
          .heads = 4,
          .kv_heads = kv_heads,
          .head_dim = 16,
          .fused_qkv = fused,
          .qkv_bias = bias,
          .output_bias = true,
          .weight_init = Init::normal(0.1),
          .output_init = Init::normal(0.1)};
}

template <class Module>
void materialize(Module& module) {
  DenseMaterializer().materialize(list_parameters(module), InitSource(3));
  at::NoGradGuard no_grad;
  for (const auto& p : module.named_parameters())
    if (p.key().find("bias") != std::string::npos) p.value().normal_(0, 0.5);
}

double largest_error(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

std::vector<std::string> children(torch::nn::Module& module) { return module.named_children().keys(); }

TEST(PackLinears, AttentionGivesTheSameByOneProjectionAsByThree) {
  at::NoGradGuard no_grad;
  const at::Tensor x = at::randn({2, 7, 64});
  for (bool fused : {false, true})
    for (bool bias : {false, true})
      for (int64_t kv_heads : {4, 2}) {
        Attention attention(attention_config(fused, bias, kv_heads), nullptr);
        materialize(attention);
        const at::Tensor dense = attention.forward(x);
        const PackedLinears done = pack_linears(attention, {.weights = {.scheme = PackedScheme::kFp32}});
        EXPECT_EQ(done.products, 2);
        EXPECT_THAT(children(attention), testing::UnorderedElementsAre("qkv", "output"));
        EXPECT_TRUE(attention.parameters().empty());
        EXPECT_LT(largest_error(attention.forward(x), dense), 1e-5);
      }
}

TEST(PackLinears, MlpsOfEveryActivationGiveTheSame) {
  at::NoGradGuard no_grad;
  const at::Tensor x = at::randn({3, 5, 64});
  for (Activation activation : {Activation::kGeluTanh, Activation::kGeluErf, Activation::kRelu,
                                Activation::kSwiGlu, Activation::kGeGluTanh})
    for (WeightOrder order : {WeightOrder::kOutIn, WeightOrder::kInOut})
      for (bool bias : {false, true})
        for (bool fuse : {false, true}) {
          Mlp mlp({.hidden = 64,
                   .intermediate = 72,
                   .activation = activation,
                   .bias = bias,
                   .order = order,
                   .weight_init = Init::normal(0.2),
                   .output_init = Init::normal(0.2)});
          materialize(mlp);
          const at::Tensor dense = mlp.forward(x);
          pack_linears(mlp, {.weights = {.scheme = PackedScheme::kFp32}, .fuse = fuse});
          if (fuse) {
            EXPECT_THAT(children(mlp), testing::UnorderedElementsAre("unit", "down"));
          }
          EXPECT_LT(largest_error(mlp.forward(x), dense), 1e-5);
        }
}

// By dense weights in a pass of its own, by packed ones where the product ends.
TEST(PackLinears, AResidualIsAddedToWhatModulesGive) {
  at::NoGradGuard no_grad;
  const at::Tensor x = at::randn({2, 7, 64}), residual = at::randn({2, 7, 64});
  Attention attention(attention_config(false, true, 2), nullptr);
  Mlp mlp({.hidden = 64,
           .intermediate = 72,
           .activation = Activation::kSwiGlu,
           .bias = true,
           .weight_init = Init::normal(0.1),
           .output_init = Init::normal(0.1)});
  materialize(attention);
  materialize(mlp);
  const at::Tensor attended = residual + attention.forward(x), fed = residual + mlp.forward(x);
  for (const bool packed : {false, true}) {
    if (packed) {
      pack_linears(attention, {.weights = {.scheme = PackedScheme::kFp32}});
      pack_linears(mlp, {.weights = {.scheme = PackedScheme::kFp32}});
    }
    EXPECT_EQ(attention.adds_residual(), packed);
    EXPECT_EQ(mlp.adds_residual(), packed);
    EXPECT_LT(largest_error(attention.forward(x, AttentionInputs{}, residual), attended), 1e-5);
    EXPECT_LT(largest_error(mlp.forward(x, residual), fed), 1e-5);
  }
  EXPECT_THROW(mlp.forward(x, residual.to(at::kBFloat16)), base::Error) << "of x's type";
}

TEST(PackLinears, LinearsMayBeKeptByName) {
  Mlp mlp({.hidden = 64,
           .intermediate = 128,
           .activation = Activation::kSwiGlu,
           .weight_init = Init::normal(1),
           .output_init = Init::normal(1)});
  materialize(mlp);
  const PackedLinears done =
      pack_linears(mlp, {.weights = {.scheme = PackedScheme::kInt8},
                         .keep = [](const std::string& name) { return name == "gate"; }});
  EXPECT_EQ(done.products, 2) << "up and down, which are then not fused";
  EXPECT_THAT(mlp.named_parameters().keys(), ElementsAre("gate.weight"));
}

TEST(PackLinears, GivesTheDenseMemoryBackAndSaysHowMuch) {
  Linear linear(DenseOptions{.in_features = 128, .out_features = 64});
  materialize(linear);
  const c10::weak_intrusive_ptr<c10::TensorImpl> weight(linear.parameters()[0].getIntrusivePtr());
  const PackedLinears done = pack_linears(linear, {.weights = {.scheme = PackedScheme::kInt4}});
  EXPECT_TRUE(weight.expired());
  EXPECT_EQ(done.dense_bytes, 64 * 129 * 4);
  EXPECT_EQ(done.packed_bytes, 64 * 128 / 2 + 64 * 4 * 2);
  EXPECT_EQ(linear.projection().kind(), "packed");
}

TEST(PackLinears, RefusesGradientsAndWeightsWithoutMemory) {
  Linear linear(DenseOptions{.in_features = 64, .out_features = 64});
  EXPECT_THROW(pack_linears(linear, {}), base::Error);
  materialize(linear);
  pack_linears(linear, {});
  EXPECT_THROW(linear.forward(at::ones({2, 64}).requires_grad_()), base::Error);
}

TEST(PackLinears, AFusedAttentionWorksWithACache) {
  at::NoGradGuard no_grad;
  Attention attention(attention_config(false, false, 2), nullptr);
  materialize(attention);
  const at::Tensor x = at::randn({1, 6, 64});
  const at::Tensor whole = attention.forward(x, AttentionInputs{.rotary = ops::rotary_table(16, 6, 0)});
  pack_linears(attention, {.weights = {.scheme = PackedScheme::kFp32}});
  ContiguousKvCache cache(1, 6);
  for (int64_t t = 0; t < 6; ++t) {
    const at::Tensor step = attention.forward(
        x.narrow(1, t, 1), AttentionInputs{.rotary = ops::rotary_table(16, 1, t), .cache = &cache});
    cache.advance(1);
    EXPECT_LT(largest_error(step, whole.narrow(1, t, 1)), 1e-5);
  }
}

}  // namespace
}  // namespace deepspeed::nn
