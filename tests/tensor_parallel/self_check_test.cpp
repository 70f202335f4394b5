#include "deepspeed/tensor_parallel/self_check.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/ranks.h"
#include "tests/tensor_parallel/tiny.h"

namespace deepspeed::tensor_parallel {
namespace {

using testing::HasSubstr;

SelfCheck logits_of(const at::Tensor& ids) {
  return {[ids](torch::nn::Module& model) { return dynamic_cast<models::Decoder&>(model).logits(ids); }};
}

// The most elements that a model's parameters held at once while it was read from here.
class WatchedSource : public nn::ParameterSource {
 public:
  WatchedSource(const nn::ParameterSource& inner, torch::nn::Module& model) : inner_(inner), model_(model) {}
  void fill(const nn::ParameterSpec& spec, int64_t begin, at::Tensor slice) const override {
    int64_t held = slice.numel();
    for (const at::Tensor& parameter : model_.parameters())
      if (nn::is_materialized(parameter)) held += parameter.numel();
    most = std::max(most, held);
    read += slice.numel();
    inner_.fill(spec, begin, std::move(slice));
  }
  mutable int64_t most = 0, read = 0;

 private:
  const nn::ParameterSource& inner_;
  torch::nn::Module& model_;
};

// Elements that one Block computes with by itself.
int64_t largest_block(torch::nn::Module& model) {
  int64_t most = 0;
  for (const auto& [name, block] : nn::blocks_of(model)) {
    int64_t own = 0;
    for (const at::Tensor& parameter : block->as_module().parameters(/*recurse=*/false))
      own += parameter.numel();
    for (const at::Tensor& parameter : block->used_parameters()) own += parameter.numel();
    most = std::max(most, own);
  }
  return most;
}

TEST(SelfCheck, AgreesForEveryFamilyAndReadsOneBlockAtATime) {
  for (const std::string& family : families(/*encoders=*/false)) {
    const auto spec = spec_of(family);
    const at::Tensor ids = tensor_of(golden(family), "input_ids");
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      const auto model = sharded_model(family, group);
      models::Decoder whole(spec, nullptr);
      const auto weights = weights_of(family, spec);
      const WatchedSource source(weights, whole);
      EXPECT_LT(check_against_one_rank(*model, whole, source, *group, logits_of(ids)), 1e-4);
      int64_t all = 0;
      for (const auto& parameter : nn::list_parameters(whole)) {
        all += parameter.numel();
        EXPECT_FALSE(nn::is_materialized(parameter.tensor)) << parameter.name;
      }
      if (group->rank() == 0) {
        EXPECT_EQ(source.most, largest_block(whole));
        EXPECT_GE(source.read, all);
      } else {
        EXPECT_EQ(source.read, 0);
      }
      // Nothing is left of the check.
      for (const auto& parameter : nn::list_parameters(*model)) EXPECT_TRUE(parameter.tensor.requires_grad());
      for (const auto& [name, block] : nn::blocks_of(*model)) EXPECT_EQ(block->runner(), nullptr) << name;
    });
  }
}

TEST(SelfCheck, TakesEncodersAndSixteenBits) {
  const auto spec = spec_of("bert");
  const auto weights = weights_of("bert", spec);
  const at::Tensor ids = at::arange(12).view({2, 6});
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    const auto rng = std::make_shared<accel::Rng>(1);
    models::MaskedLanguageModel model(spec, rng), whole(spec, rng);
    const Sharding sharding = shard(model, spec, group);
    auto parameters = nn::list_parameters(model);
    for (auto& parameter : parameters) parameter.dtype = at::kBFloat16;
    nn::DenseMaterializer().materialize(parameters, SliceSource(weights, sharding));
    const auto run = [&](torch::nn::Module& m) {
      return dynamic_cast<models::MaskedLanguageModel&>(m).logits({ids, std::nullopt, std::nullopt});
    };
    const double difference = check_against_one_rank(model, whole, weights, *group, {.run = run});
    EXPECT_GT(difference, 0) << "they round otherwise";
    EXPECT_THROW(check_against_one_rank(model, whole, weights, *group, {.run = run, .tolerance = 1e-9}),
                 base::Error);
  });
}

std::string problem_of(const std::string& broken) {
  std::string problem;
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    const auto spec = spec_of("llama");
    const auto model = sharded_model("llama", group);
    if (group->rank() == 1) {
      const at::NoGradGuard no_grad;
      model->named_parameters()[broken].mul_(1.5);
    }
    models::Decoder whole(spec, nullptr);
    const auto weights = weights_of("llama", spec);
    try {
      check_against_one_rank(*model, whole, weights, *group, logits_of(at::arange(12).mul(21).view({2, 6})));
      ADD_FAILURE() << broken << " is not missed";
    } catch (const base::Error& error) {
      if (group->rank() == 1) problem = error.what();
    }
  });
  return problem;
}

TEST(SelfCheck, NamesTheFirstBlockThatDiffersOnEveryRank) {
  EXPECT_THAT(problem_of("layers.1.mlp.down.weight"), HasSubstr("first in layers.1"));
  EXPECT_THAT(problem_of("layers.0.attention.query.weight"), HasSubstr("first in layers.0"));
  EXPECT_THAT(problem_of("embedding.weight"), HasSubstr("first in embedding"));
  EXPECT_THAT(problem_of("head.weight"), HasSubstr("first in the result"));
}

class NoSource : public nn::ParameterSource {
 public:
  void fill(const nn::ParameterSpec&, int64_t, at::Tensor) const override { base::fail("the disk is gone"); }
};

TEST(SelfCheck, TellsEveryRankWhatRankZeroCouldNotDo) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    const auto model = sharded_model("llama", group);
    models::Decoder whole(model->spec(), nullptr);
    try {
      check_against_one_rank(*model, whole, NoSource(), *group, logits_of(at::arange(12).view({2, 6})));
      ADD_FAILURE();
    } catch (const base::Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("the disk is gone"));
    }
  });
}

}  // namespace
}  // namespace deepspeed::tensor_parallel
