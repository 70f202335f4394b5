// torch_autocast: fp32 states, a forward in 16 bits, gradients of safe modules that travel in 16 bits, and
// the loss scale of fp16.
#include "deepspeed/engine/autocast_parameters.h"

#include <gmock/gmock.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <filesystem>

#include "deepspeed/accel/autocast.h"
#include "deepspeed/base/error.h"
#include "deepspeed/models/encoder_heads.h"
#include "deepspeed/nn/blocked.h"
#include "deepspeed/recompute/recompute.h"
#include "tiny.h"

namespace deepspeed::engine {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

std::string config_of(int stage, const std::string& autocast, const std::string& more = "") {
  return fmt::format(R"({{"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2,
    "optimizer": {{"type": "AdamW", "params": {{"lr": 0.01, "weight_decay": 0.01}}}},
    "zero_optimization": {{"stage": {}}}, "torch_autocast": {{"enabled": true{}}}{}}})",
                     stage, autocast, more);
}

struct Trained {
  std::vector<double> losses;
  std::vector<at::Tensor> weights;
};

Trained train(const std::string& config, int ranks, int steps, const std::string& type = "llama") {
  Trained out;
  comm::run_ranks(ranks, [&](comm::GroupPtr group) {
    TinyRun run(group, config, tiny_spec(type));
    const auto losses = run.steps(steps);
    if (group->rank() == 0) out = {losses, run.weights()};
  });
  return out;
}

bool same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const at::Tensor& x, const at::Tensor& y) { return x.equal(y); });
}

TEST(TorchAutocast, ComputesIn16BitsAndKeepsStatesInFp32) {
  comm::run_ranks(2, [](comm::GroupPtr group) {
    TinyRun run(group, config_of(2, ""), tiny_spec("llama"));
    run.engine().forward([&] {
      EXPECT_EQ(at::mm(at::ones({2, 2}), at::ones({2, 2})).scalar_type(), at::kBFloat16);
    });
    EXPECT_EQ(at::mm(at::ones({2, 2}), at::ones({2, 2})).scalar_type(), at::kFloat);
    const auto losses = run.steps(8);
    EXPECT_LT(losses.back(), losses.front() * 0.9);
    for (const auto& parameter : run.model->parameters()) EXPECT_EQ(parameter.scalar_type(), at::kFloat);
    ASSERT_EQ(run.engine().optimizer().groups().size(), 1u);
    EXPECT_EQ(run.engine().get_lr().size(), 1u);
    for (const auto& piece : run.engine().optimizer().groups()[0].pieces) {
      EXPECT_EQ(piece.param.scalar_type(), at::kFloat);
      EXPECT_EQ(piece.grad.scalar_type(), at::kFloat);
      EXPECT_FALSE(piece.low_precision_copy.defined());
    }
  });
}

TEST(TorchAutocast, IsNeitherFp32NorAnothersForward) {
  const std::string plain = R"({"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2,
    "optimizer": {"type": "AdamW", "params": {"lr": 0.01, "weight_decay": 0.01}}})";
  const auto fp32 = train(plain, 1, 3).losses, cast = train(config_of(0, ""), 1, 3).losses;
  for (size_t i = 0; i < fp32.size(); ++i) {
    EXPECT_NE(fp32[i], cast[i]);
    EXPECT_NEAR(fp32[i], cast[i], 0.02 * fp32[i]);
  }
  EXPECT_EQ(train(config_of(0, R"(, "dtype": "fp32")"), 1, 3).losses, fp32);
}

TEST(TorchAutocast, GivesOneTrainingAtStages1And2AndNearlyThatOfStage0) {
  const auto zero = train(config_of(0, ""), 2, 6), one = train(config_of(1, ""), 2, 6),
             two = train(config_of(2, ""), 2, 6);
  for (size_t i = 0; i < zero.losses.size(); ++i) {
    EXPECT_NEAR(zero.losses[i], one.losses[i], 0.01 * zero.losses[i]);
    EXPECT_NEAR(two.losses[i], one.losses[i], 0.01 * zero.losses[i]);
  }
}

TEST(TorchAutocast, GradientsOfSafeModulesTravelIn16BitsAndOthersDoNot) {
  const auto with = [&](const std::string& safe, const std::string& more = "") {
    return train(config_of(1, fmt::format(R"(, "lower_precision_safe_modules": [{}])", safe), more), 2, 2)
        .weights;
  };
  const auto none = with("");
  EXPECT_TRUE(same(with(R"("torch.nn.Conv2d")"), none));  // the model has none
  EXPECT_FALSE(same(with(R"("torch.nn.Linear")"), none));
  EXPECT_TRUE(same(with(R"("torch.nn.Linear")", R"(, "communication_data_type": "fp32")"), none));
  EXPECT_FALSE(same(with(R"("torch.nn.Linear")"), with("", R"(, "communication_data_type": "bf16")")));
}

TEST(TorchAutocast, ResumesBitForBitAndWithoutIt) {
  const std::string folder = fmt::format("/tmp/ds_autocast_{}", ::getpid());
  std::vector<double> whole, rest, other;
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    TinyRun run(group, config_of(2, ""), tiny_spec("llama"));
    run.steps(3);
    run.engine().save_checkpoint(folder);
    const auto losses = run.steps(3);
    if (group->rank() == 0) whole = losses;
  });
  const auto resume = [&](const std::string& config, std::vector<double>& into) {
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      TinyRun run(group, config, tiny_spec("llama"));
      run.engine().load_checkpoint(folder);
      run.ready.loader->seek_samples(run.engine().global_samples());
      const auto losses = run.steps(3);
      if (group->rank() == 0) into = losses;
    });
  };
  resume(config_of(2, ""), rest);
  EXPECT_EQ(rest, whole);
  resume(R"({"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2,
    "optimizer": {"type": "AdamW"}, "zero_optimization": {"stage": 1}})",
         other);
  EXPECT_NEAR(other[0], whole[0], 0.01 * whole[0]);
  std::filesystem::remove_all(folder);
}

TEST(TorchAutocast, IsTheSameWithRecomputedLayers) {
  const auto plain = train(config_of(1, ""), 2, 3);
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    TinyRun run(group, config_of(1, ""), tiny_spec("llama"));
    recompute::recompute_blocks(*run.model, recompute::layers_of(*run.model), {.rng = run.rng});
    const auto losses = run.steps(3);
    if (group->rank() == 0) {
      EXPECT_EQ(losses, plain.losses);
      EXPECT_TRUE(same(run.weights(), plain.weights));
    }
  });
}

TEST(TorchAutocast, ScalesTheLossInFp16AsGradScalerDoes) {
  comm::run_ranks(1, [](comm::GroupPtr group) {
    TinyRun run(group, config_of(1, R"(, "dtype": "fp16")"), tiny_spec("llama"));
    Engine& engine = run.engine();
    EXPECT_EQ(engine.loss_scale(), 65536);
    EXPECT_THROW(run.model->forward(run.ready.loader->next()[0], run.ready.loader->next()[0]).backward(),
                 base::Error);
    engine.zero_grad();
    const auto infinite = [&] {
      engine.backward(engine.forward([&] { return run.model->parameters()[0].sum() * INFINITY; }));
      engine.step();
    };
    const double rate = engine.get_lr()[0];
    infinite();
    infinite();
    EXPECT_FALSE(engine.was_step_applied());
    EXPECT_EQ(engine.skipped_steps(), 1);
    EXPECT_EQ(engine.loss_scale(), 32768);
    EXPECT_EQ(engine.get_lr()[0], rate);
    const auto losses = run.steps(8);
    EXPECT_TRUE(engine.was_step_applied());
    EXPECT_LT(losses.back(), losses.front() * 0.95);
    EXPECT_LT(*engine.get_global_grad_norm(), 100);  // unscaled
  });
}

// Post-norm layers, heads whose norms see 16 bits, a loss of each kind.
template <class Model>
void expect_near_fp32(const at::Tensor& ids, const at::Tensor& labels) {
  const auto spec = models::parse_arch_spec({{"model_type", "bert"},
                                             {"vocab_size", 61},
                                             {"hidden_size", 24},
                                             {"num_hidden_layers", 2},
                                             {"num_attention_heads", 4},
                                             {"intermediate_size", 40},
                                             {"max_position_embeddings", 16},
                                             {"initializer_range", 0.3}},
                                            "config.json");
  const auto rng = std::make_shared<accel::Rng>(3, 0);
  Model model(spec, rng);
  nn::DenseMaterializer().materialize(nn::list_parameters(model), nn::InitSource(5));
  const auto run = [&](std::optional<at::ScalarType> type) {
    at::Tensor loss;
    {
      const accel::Autocast region(type);
      loss = model.forward(ids, labels, std::optional<at::Tensor>(), std::optional<at::Tensor>());
    }
    model.zero_grad();
    loss.backward();
    double squares = 0;
    for (const auto& p : model.parameters()) {
      EXPECT_EQ(p.grad().scalar_type(), at::kFloat);
      squares += p.grad().square().sum().template item<double>();
    }
    return std::pair(loss.item<double>(), std::sqrt(squares));
  };
  const auto [loss, norm] = run(std::nullopt);
  for (const auto type : {at::kBFloat16, at::kHalf}) {
    const auto [cast_loss, cast_norm] = run(type);
    EXPECT_NE(cast_loss, loss);
    EXPECT_NEAR(cast_loss, loss, 0.03 * loss);
    EXPECT_NEAR(cast_norm, norm, 0.05 * norm);
  }
}

TEST(TorchAutocast, RunsEncodersUnderEitherHead) {
  const at::Tensor ids = (at::arange(32, at::kLong) * 7 % 61).view({2, 16});
  expect_near_fp32<models::MaskedLanguageModel>(
      ids, at::where(ids.remainder(3) == 0, ids, at::full_like(ids, -100)));
  expect_near_fp32<models::SequenceClassifier>(ids, at::arange(2, at::kLong));
}

// Names of the parameters found.
std::vector<std::string> safe_in(const torch::nn::Module& model,
                                 std::optional<std::vector<std::string>> classes = {}) {
  const auto found = lower_precision_parameters(model, classes);
  std::vector<std::string> names;
  for (const auto& entry : model.named_parameters())
    if (found.contains(entry.value().unsafeGetTensorImpl())) names.push_back(entry.key());
  return names;
}

TEST(LowerPrecisionParameters, AreThoseOfLinearLayersAndHeads) {
  models::ArchSpec llama = tiny_spec("llama"), gpt2 = tiny_spec("gpt2");
  llama.layers = gpt2.layers = 1;
  EXPECT_THAT(
      safe_in(models::Decoder(llama, nullptr)),
      UnorderedElementsAre("head.weight", "layers.0.attention.query.weight", "layers.0.attention.key.weight",
                           "layers.0.attention.value.weight", "layers.0.attention.output.weight",
                           "layers.0.mlp.gate.weight", "layers.0.mlp.up.weight", "layers.0.mlp.down.weight"));
  // GPT-2's layers are transformers' own class; its head is tied.
  EXPECT_THAT(safe_in(models::Decoder(gpt2, nullptr)), UnorderedElementsAre("embedding.weight"));
  EXPECT_THAT(safe_in(models::Decoder(gpt2, nullptr), {{"transformers.pytorch_utils.Conv1D"}}),
              UnorderedElementsAre("layers.0.attention.qkv.weight", "layers.0.attention.qkv.bias",
                                   "layers.0.attention.output.weight", "layers.0.attention.output.bias",
                                   "layers.0.mlp.up.weight", "layers.0.mlp.up.bias",
                                   "layers.0.mlp.down.weight", "layers.0.mlp.down.bias"));
  EXPECT_THAT(safe_in(models::Decoder(llama, nullptr), {{"torch.nn.RMSNorm", "torch.nn.LayerNorm"}}),
              UnorderedElementsAre("layers.0.norm1.weight", "layers.0.norm2.weight", "norm.weight"));
}

struct Mixed : torch::nn::Module {
  torch::nn::Linear linear = register_module("linear", torch::nn::Linear(2, 2));
  nn::Blocked<torch::nn::Linear> block = register_module("block", nn::Blocked<torch::nn::Linear>(2, 2));
  torch::nn::Conv1d conv = register_module("conv", torch::nn::Conv1d(2, 2, 1));
  at::Tensor own = register_parameter("own", at::ones({1}));
};

TEST(LowerPrecisionParameters, AreFoundInModulesOfTheCallersOwn) {
  const Mixed model;
  EXPECT_THAT(safe_in(model), UnorderedElementsAre("linear.weight", "linear.bias", "block.weight",
                                                   "block.bias", "conv.weight", "conv.bias"));
  EXPECT_THAT(safe_in(model, {{"torch::nn::Conv1dImpl"}}), UnorderedElementsAre("conv.weight", "conv.bias"));
  EXPECT_THAT(safe_in(model, {{"Mixed"}}), UnorderedElementsAre("own"));
  EXPECT_THAT(safe_in(model, std::vector<std::string>()), IsEmpty());
}

TEST(LowerPrecisionParameters, AreRefusedByAClassThatNothingHas) {
  EXPECT_THROW(train(config_of(0, R"(, "lower_precision_safe_modules": ["torch.nn.Linaer"])"), 1, 1),
               base::Error);
  const Mixed model;
  try {
    lower_precision_parameters(model, {{"torch.nn.Linaer"}});
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("module class \"torch.nn.Linaer\"; did you mean \"Linear\"?"));
  }
}

}  // namespace
}  // namespace deepspeed::engine
