// Small models and the loop that engine tests run them through.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "deepspeed/comm/ranks.h"
#include "deepspeed/engine/initialize.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::engine {

inline models::ArchSpec tiny_spec(const std::string& type = "gpt2", double dropout = 0) {
  nlohmann::json config;
  if (type == "gpt2") {
    config = {{"model_type", "gpt2"},  {"vocab_size", 61},      {"n_positions", 16},
              {"n_embd", 24},          {"n_layer", 3},          {"n_head", 4},
              {"embd_pdrop", dropout}, {"attn_pdrop", dropout}, {"resid_pdrop", dropout}};
  } else {
    config = {{"model_type", "llama"},    {"vocab_size", 61},       {"max_position_embeddings", 16},
              {"hidden_size", 24},        {"num_hidden_layers", 3}, {"num_attention_heads", 4},
              {"num_key_value_heads", 2}, {"intermediate_size", 40}};
  }
  return models::parse_arch_spec(config, "config.json");
}

/// Token samples that repeat a pattern, so that there is something to learn.
class Pattern : public data::Dataset {
 public:
  int64_t size() const override { return 37; }
  std::vector<at::Tensor> get(int64_t index) const override {
    return {(at::arange(16, at::kLong) * (1 + index % 3) + index) % 61};
  }
};

/// One rank's model with its engine, initialised alike on every rank.
struct TinyRun {
  explicit TinyRun(comm::GroupPtr group, const std::string& config, models::ArchSpec spec = tiny_spec(),
                   bool shuffle = false, const std::function<void(models::Decoder&)>& prepare = {})
      : rng(std::make_shared<accel::Rng>(3, static_cast<uint64_t>(group->rank()))),
        model(std::make_shared<models::Decoder>(spec, rng)) {
    nn::DenseMaterializer().materialize(nn::list_parameters(*model), nn::InitSource(5));
    if (prepare) prepare(*model);
    ready = initialize({.model = model,
                        .config = config,
                        .group = group,
                        .training_data = std::make_shared<Pattern>(),
                        .shuffle = shuffle,
                        .seed = 11,
                        .rng = rng});
    ready.engine->train();
  }

  double micro_step() {
    const at::Tensor ids = ready.loader->next()[0];
    const at::Tensor loss = ready.engine->forward([&] { return model->forward(ids, ids); });
    ready.engine->backward(loss);
    ready.engine->step();
    return loss.item<double>();
  }
  std::vector<double> steps(int count) {
    std::vector<double> losses;
    for (int s = 0; s < count; ++s)
      for (int64_t g = 0; g < ready.engine->gradient_accumulation_steps(); ++g)
        losses.push_back(micro_step());
    return losses;
  }
  /// Copies. Collective.
  std::vector<at::Tensor> weights() const {
    const auto whole = ready.engine->gathered(model->parameters());
    std::vector<at::Tensor> copies;
    for (const auto& p : model->parameters()) copies.push_back(p.detach().clone());
    return copies;
  }
  Engine& engine() { return *ready.engine; }

  std::shared_ptr<accel::Rng> rng;
  std::shared_ptr<models::Decoder> model;
  Initialized ready;
};

inline bool same_bits(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!at::equal(a[i], b[i])) return false;
  return true;
}

}  // namespace deepspeed::engine
