// Recomputation under the engine: the same training bit for bit, in a fraction of the memory.
#include <fmt/format.h>

#include "../engine/tiny.h"
#include "deepspeed/accel/tensor_memory.h"
#include "deepspeed/recompute/recompute.h"

namespace deepspeed::engine {
namespace {

std::string config_of(int stage, const char* precision) {
  return fmt::format(R"({{"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2,
    "gradient_clipping": 0.5, "optimizer": {{"type": "AdamW", "params": {{"lr": 0.01}}}},
    "zero_optimization": {{"stage": {}, "reduce_bucket_size": 700, "stage3_param_persistence_threshold": 30,
                           "stage3_max_reuse_distance": 0}}, "bf16": {{"enabled": {}}},
    "fp16": {{"enabled": {}, "initial_scale_power": 8}}}})",
                     stage, std::string_view(precision) == "bf16", std::string_view(precision) == "fp16");
}

struct Trained {
  std::vector<double> losses;
  std::vector<at::Tensor> weights;
};

void recompute_layers(TinyRun& run) {
  const size_t count =
      recompute::recompute_blocks(*run.model, recompute::layers_of(*run.model),
                                  {.config = run.engine().config().activation_checkpointing, .rng = run.rng});
  EXPECT_EQ(count, 3u);
}

Trained train(const models::ArchSpec& spec, const std::string& config, bool recomputed) {
  Trained out;
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    TinyRun run(group, config, spec);
    if (recomputed) recompute_layers(run);
    const auto losses = run.steps(4);
    const auto weights = run.weights();
    if (group->rank() == 0) out = {losses, weights};
  });
  return out;
}

TEST(RecomputedTraining, HasTheSameBitsAtEveryStageAndPrecision) {
  for (const char* type : {"gpt2", "llama"})
    for (int stage : {0, 1, 2, 3})
      for (const char* precision : {"fp32", "bf16", "fp16"}) {
        const auto spec = tiny_spec(type, 0.1);
        const auto plain = train(spec, config_of(stage, precision), false);
        const auto again = train(spec, config_of(stage, precision), true);
        EXPECT_EQ(again.losses, plain.losses) << type << stage << precision;
        EXPECT_TRUE(same_bits(again.weights, plain.weights)) << type << stage << precision;
      }
}

TEST(RecomputedTraining, ABackwardOfTheCallersOwnIsReducedOnce) {
  const auto weights_of = [](bool ours, bool recomputed) {
    std::vector<at::Tensor> weights;
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      TinyRun run(group, R"({"train_micro_batch_size_per_gpu": 2, "zero_optimization": {"stage": 2},
        "optimizer": {"type": "Adam", "params": {"lr": 0.01}}})");
      if (recomputed) recompute_layers(run);
      for (int step = 0; step < 3; ++step) {
        const at::Tensor ids = run.ready.loader->next()[0];
        const at::Tensor loss = run.engine().forward([&] { return run.model->forward(ids, ids); });
        if (ours)
          run.engine().backward(loss);
        else
          loss.backward();
        run.engine().step();
      }
      if (group->rank() == 0) weights = run.weights();
    });
    return weights;
  };
  const auto want = weights_of(true, false);
  EXPECT_TRUE(same_bits(weights_of(false, false), want));
  EXPECT_TRUE(same_bits(weights_of(false, true), want));
}

// Peak of a forward and backward beyond what was there before.
int64_t activation_bytes(bool recomputed, int64_t layers) {
  auto spec = tiny_spec();
  spec.layers = layers;
  spec.hidden = 64;
  spec.heads = spec.kv_heads = 4;
  spec.head_dim = 16;
  spec.intermediate = 256;
  spec.max_positions = 256;
  models::Decoder model(spec, nullptr);
  nn::DenseMaterializer().materialize(nn::list_parameters(model), nn::InitSource(5));
  if (recomputed) recompute::recompute_blocks(model, recompute::layers_of(model), {});
  for (const auto& p : model.parameters()) p.mutable_grad() = at::zeros_like(p);
  const at::Tensor ids = at::arange(4 * 256, at::kLong).remainder(61).view({4, 256});
  const accel::TensorMemory memory;
  model.forward(ids, ids).backward();
  return memory.peak_bytes();
}

TEST(RecomputedTraining, KeepsAtMostAQuarterOfTheActivationsOf24Layers) {
  const int64_t plain = activation_bytes(false, 24), again = activation_bytes(true, 24);
  RecordProperty("plain_bytes", std::to_string(plain));
  RecordProperty("recomputed_bytes", std::to_string(again));
  EXPECT_LE(again * 4, plain) << again << " of " << plain;
  // What grows with depth is the layers' inputs alone: [4, 256, 64] fp32 each.
  EXPECT_NEAR(static_cast<double>(activation_bytes(true, 25) - again), 4 * 256 * 64 * 4, 1000);
}

}  // namespace
}  // namespace deepspeed::engine
