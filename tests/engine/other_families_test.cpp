// Models that no objective of ds_train is for, or whose layers share what others compute, train as decoders
// do (families_test.cpp): an encoder with a decoder, and disentangled attention.
#include <ATen/ATen.h>

#include <filesystem>

#include "deepspeed/models/encoder_decoder.h"
#include "deepspeed/models/encoder_heads.h"
#include "deepspeed/recompute/recompute.h"
#include "tests/engine/tiny.h"

namespace deepspeed::engine {
namespace {

namespace fs = std::filesystem;

std::string config(int stage) {
  return R"({"train_micro_batch_size_per_gpu": 2, "gradient_clipping": 0.5,
             "optimizer": {"type": "AdamW", "params": {"lr": 1e-2}},
             "zero_optimization": {"stage": )" +
         std::to_string(stage) +
         R"(, "stage3_param_persistence_threshold": 30, "stage3_max_live_parameters": 3000,
              "stage3_max_reuse_distance": 0, "stage3_prefetch_bucket_size": 500, "reduce_bucket_size": 2000}})";
}

at::Tensor loss_of(models::EncoderDecoder& model, const at::Tensor& ids) {
  const std::optional<at::Tensor> ends = at::tensor({16, 11}, at::kInt);
  return model.forward(ids, (ids.narrow(1, 0, 9) + 1).remainder(61), ends);
}
at::Tensor loss_of(models::MaskedLanguageModel& model, const at::Tensor& ids) {
  const std::optional<at::Tensor> no_types, ends = at::tensor({16, 11}, at::kInt);
  return model.forward(ids, ids, no_types, ends);
}

struct Setting {
  int stage = 0;
  bool recomputed = false;
};

template <class Model>
std::vector<double> losses(const std::string& family, const Setting& setting) {
  const fs::path folder =
      fs::path(DS_SOURCE_DIR) / "tests/parity/goldens/models" / (family + "-sharp") / "config.json";
  auto spec = models::read_arch_spec(folder);
  spec.embedding_dropout = spec.residual_dropout = spec.attention_dropout = 0.1;
  if (spec.is_encoder_decoder()) spec.inner_dropout = spec.output_dropout = 0.1;
  std::vector<double> all;
  comm::run_ranks(2, [&](const comm::GroupPtr& group) {
    const auto rng = std::make_shared<accel::Rng>(3, static_cast<uint64_t>(group->rank()));
    const auto model = std::make_shared<Model>(spec, rng);
    nn::DenseMaterializer().materialize(nn::list_parameters(*model), nn::InitSource(5));
    const Initialized ready = initialize({.model = model,
                                          .config = config(setting.stage),
                                          .group = group,
                                          .training_data = std::make_shared<Pattern>(),
                                          .seed = 11,
                                          .rng = rng});
    ready.engine->train();
    if (setting.recomputed) recompute::recompute_blocks(*model, recompute::layers_of(*model), {.rng = rng});
    for (int step = 0; step < 6; ++step) {
      const at::Tensor ids = ready.loader->next()[0];
      const at::Tensor loss = ready.engine->forward([&] { return loss_of(*model, ids); });
      ready.engine->backward(loss);
      ready.engine->step();
      if (group->rank() == 0) all.push_back(loss.item<double>());
    }
  });
  return all;
}

template <class Model>
void expect_same_sharded_and_recomputed(const std::string& family) {
  SCOPED_TRACE(family);
  const auto plain = losses<Model>(family, {});
  EXPECT_LT(plain.back(), plain.front());
  for (const int stage : {2, 3}) {
    const auto got = losses<Model>(family, {.stage = stage});
    ASSERT_EQ(got.size(), plain.size());
    for (size_t i = 0; i < plain.size(); ++i)
      EXPECT_NEAR(got[i], plain[i], 2e-5 * plain[i]) << stage << " " << i;
  }
  EXPECT_EQ(losses<Model>(family, {.recomputed = true}), plain);
}

TEST(OtherFamilies, AnEncoderWithADecoderTrainsTheSameShardedAndRecomputed) {
  expect_same_sharded_and_recomputed<models::EncoderDecoder>("t5");
  expect_same_sharded_and_recomputed<models::EncoderDecoder>("t5_gated");
}

TEST(OtherFamilies, DisentangledAttentionTrainsTheSameShardedAndRecomputed) {
  expect_same_sharded_and_recomputed<models::MaskedLanguageModel>("deberta_v2");
  expect_same_sharded_and_recomputed<models::MaskedLanguageModel>("deberta_v2_own");
}

}  // namespace
}  // namespace deepspeed::engine
