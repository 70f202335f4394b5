#include "deepspeed/nn/materializer.h"

#include <gtest/gtest.h>

#include "deepspeed/accel/memory.h"
#include "deepspeed/nn/linear.h"

namespace deepspeed::nn {
namespace {

class Tied : public BlockModule<Tied> {
 public:
  Tied() {
    in = register_module("in", std::make_shared<Embedding>(11, 6, Init::normal(0.5)));
    fc = register_module("fc", std::make_shared<Linear>(DenseOptions{.in_features = 6,
                                                                     .out_features = 9,
                                                                     .weight_init = Init::uniform(-1, 1),
                                                                     .bias_init = Init::ones()}));
    out_weight = register_parameter("out_weight", in->weight());
  }
  at::Tensor compute(const at::Tensor& ids) { return fc->forward(in->forward(ids)); }
  std::shared_ptr<Embedding> in;
  std::shared_ptr<Linear> fc;
  at::Tensor out_weight;
};

TEST(Materializer, ListsDistinctParametersWithShapesRulesAndTies) {
  Tied model;
  const auto specs = list_parameters(model);
  ASSERT_EQ(specs.size(), 3u);
  const auto tied =
      std::find_if(specs.begin(), specs.end(), [](const auto& s) { return !s.aliases.empty(); });
  ASSERT_NE(tied, specs.end());
  EXPECT_EQ(tied->shape, (std::vector<int64_t>{11, 6}));
  for (const auto& spec : specs) EXPECT_FALSE(is_materialized(spec.tensor)) << spec.name;
}

TEST(Materializer, ConstructionAllocatesNothing) {
  const int64_t before = accel::resident_bytes();
  Linear huge(DenseOptions{.in_features = 1 << 20, .out_features = 1 << 14});  // 64 GB of weights
  EXPECT_LT(accel::resident_bytes() - before, 8 << 20);
  EXPECT_EQ(huge.named_parameters()["weight"].size(1), 1 << 20);
}

TEST(Materializer, DenseKeepsIdentityTiesAndDtype) {
  Tied model;
  const at::Tensor handle = model.in->weight();
  auto specs = list_parameters(model);
  for (auto& spec : specs) spec.dtype = at::kBFloat16;
  DenseMaterializer().materialize(specs, InitSource(1));
  EXPECT_TRUE(handle.is_same(model.in->weight()));
  EXPECT_EQ(handle.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(model.out_weight.is_same(handle));
  EXPECT_TRUE(handle.requires_grad() && handle.is_leaf());
  EXPECT_TRUE(at::equal(model.fc->named_parameters()["bias"], at::ones({9}, at::kBFloat16)));
}

TEST(Materializer, AnySliceOnAnyWorldSizeHasTheBitsOfTheWhole) {
  Tied model;
  const auto specs = list_parameters(model);
  DenseMaterializer().materialize(specs, InitSource(7));
  for (int world : {1, 2, 3, 5, 16}) {
    for (const auto& layout : {partition::Layout::concatenated(sizes_of(specs), world),
                               partition::Layout::per_parameter(sizes_of(specs), world)}) {
      for (int rank = 0; rank < world; ++rank) {
        ShardMaterializer shard(layout, rank);
        shard.materialize(specs, InitSource(7));
        for (const auto& piece : layout.pieces(rank))
          ASSERT_TRUE(
              at::equal(shard.shard().narrow(0, piece.shard_offset, piece.count),
                        specs[piece.param].tensor.detach().view({-1}).narrow(0, piece.begin, piece.count)));
      }
    }
  }
}

TEST(Init, DependsOnSeedAndNameAndHasTheAskedMoments) {
  at::Tensor a = at::empty({100'000}), b = at::empty({100'000}), c = at::empty({100'000});
  fill_init(Init::normal(0.02, 0.5), accel::parameter_key(1, "w"), 0, a);
  fill_init(Init::normal(0.02, 0.5), accel::parameter_key(2, "w"), 0, b);
  fill_init(Init::normal(0.02, 0.5), accel::parameter_key(1, "v"), 0, c);
  EXPECT_FALSE(at::equal(a, b));
  EXPECT_FALSE(at::equal(a, c));
  EXPECT_NEAR(a.mean().item<double>(), 0.5, 0.0005);
  EXPECT_NEAR(a.std().item<double>(), 0.02, 0.0003);
  EXPECT_LT(at::corrcoef(at::stack({a, c}))[0][1].abs().item<double>(), 0.02);
  fill_init(Init::uniform(-2, 4), accel::parameter_key(1, "w"), 0, a);
  EXPECT_GE(a.min().item<double>(), -2);
  EXPECT_LT(a.max().item<double>(), 4);
  EXPECT_NEAR(a.mean().item<double>(), 1, 0.03);
}

TEST(Projection, CanBeReplacedWithoutReplacingTheModule) {
  struct Negated : Projection {
    std::string kind() const override { return "negated"; }
    std::vector<ProjectionParameter> parameters() const override { return {{"scale", {1}, Init::ones()}}; }
    void bind(std::vector<at::Tensor> tensors) override { scale = tensors[0]; }
    at::Tensor apply(const at::Tensor& x) const override { return -x * scale; }
    at::Tensor scale;
  };
  Tied model;
  model.fc->set_projection(std::make_unique<Negated>());
  EXPECT_EQ(model.fc->named_parameters().keys(), (std::vector<std::string>{"scale"}));
  DenseMaterializer().materialize(list_parameters(model), InitSource(1));
  const at::Tensor ids = at::arange(4).view({1, 4});
  EXPECT_TRUE(at::equal(model.forward(ids), -model.in->forward(ids)));
}

}  // namespace
}  // namespace deepspeed::nn
