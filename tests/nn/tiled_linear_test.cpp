#include "deepspeed/nn/tiled_linear.h"

#include <gtest/gtest.h>

#include "deepspeed/base/error.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::nn {
namespace {

// Sizes that the splits do not divide, both weight orders, with and without a bias.
TEST(TiledLinear, IsTheLayerThatItWasCutFrom) {
  for (const auto order : {WeightOrder::kOutIn, WeightOrder::kInOut})
    for (const bool bias : {true, false})
      for (const int64_t in_splits : {1, 3})
        for (const int64_t out_splits : {1, 4}) {
          const DenseOptions options{.in_features = 7, .out_features = 10, .bias = bias, .order = order};
          Linear whole(options);
          TiledLinear tiled({.linear = options, .in_splits = in_splits, .out_splits = out_splits});
          DenseMaterializer().materialize(list_parameters(whole), InitSource(1));
          DenseMaterializer().materialize(list_parameters(tiled), InitSource(2));
          auto parameters = whole.named_parameters();
          if (bias) {
            at::NoGradGuard no_grad;
            parameters["bias"].copy_(at::arange(10, at::kFloat));
          }
          tiled.copy_from(parameters["weight"].detach(), bias ? parameters["bias"].detach() : at::Tensor());
          const at::Tensor x = at::rand({2, 4, 7}), a = x.clone().requires_grad_(true),
                           b = x.clone().requires_grad_(true);
          const at::Tensor y = whole.forward(a), z = tiled.forward(b);
          EXPECT_TRUE(at::allclose(y, z, 1e-5, 1e-6));
          y.square().sum().backward();
          z.square().sum().backward();
          EXPECT_TRUE(at::allclose(a.grad(), b.grad(), 1e-5, 1e-5));
          const at::Tensor gradient = parameters["weight"].grad();
          const int out = order == WeightOrder::kOutIn ? 0 : 1;
          EXPECT_TRUE(at::allclose(
              tiled.named_parameters()["linears.0.0.weight"].grad(),
              gradient.narrow(out, 0, out_splits == 1 ? 10 : 3).narrow(1 - out, 0, in_splits == 1 ? 7 : 3),
              1e-5, 1e-5));
          EXPECT_EQ(tiled.named_parameters().contains(fmt::format("linears.0.{}.bias", in_splits - 1)), bias);
        }
}

TEST(TiledLinear, RefusesMoreTilesThanFeatures) {
  const DenseOptions options{.in_features = 3, .out_features = 4};
  EXPECT_THROW(TiledLinear({.linear = options, .in_splits = 4}), base::Error);
  EXPECT_THROW(TiledLinear({.linear = options, .out_splits = 0}), base::Error);
}

}  // namespace
}  // namespace deepspeed::nn
