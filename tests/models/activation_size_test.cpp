#include "deepspeed/models/activation_size.h"

#include <gtest/gtest.h>

#include "deepspeed/accel/autocast.h"
#include "deepspeed/accel/tensor_memory.h"
#include "deepspeed/base/cpu_features.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/models/encoder_heads.h"
#include "deepspeed/nn/materializer.h"
#include "deepspeed/recompute/recompute.h"

namespace deepspeed::models {
namespace {

constexpr int64_t kBatch = 2, kLength = 64;

nlohmann::json gpt2(int64_t vocabulary) {
  return {{"model_type", "gpt2"},   {"vocab_size", vocabulary},
          {"n_positions", kLength}, {"n_embd", 128},
          {"n_layer", 6},           {"n_head", 4},
          {"resid_pdrop", 0.1},     {"embd_pdrop", 0.1}};
}

nlohmann::json llama() {
  return {{"model_type", "llama"},    {"vocab_size", 500},       {"max_position_embeddings", kLength},
          {"hidden_size", 128},       {"num_hidden_layers", 6},  {"num_attention_heads", 4},
          {"num_key_value_heads", 2}, {"intermediate_size", 352}};
}

nlohmann::json gpt_neox() {
  return {{"model_type", "gpt_neox"}, {"vocab_size", 500},      {"max_position_embeddings", kLength},
          {"hidden_size", 128},       {"num_hidden_layers", 6}, {"num_attention_heads", 4},
          {"intermediate_size", 512}, {"rotary_pct", 0.25}};
}

nlohmann::json opt() {
  return {{"model_type", "opt"}, {"vocab_size", 500},         {"max_position_embeddings", kLength},
          {"hidden_size", 128},  {"num_hidden_layers", 6},    {"num_attention_heads", 4},
          {"ffn_dim", 512},      {"word_embed_proj_dim", 128}};
}

nlohmann::json with_llamas_sizes(nlohmann::json more) {
  nlohmann::json config = llama();
  config.update(more);
  return config;
}

nlohmann::json gemma2() { return with_llamas_sizes({{"model_type", "gemma2"}, {"head_dim", 32}}); }
nlohmann::json qwen3() { return with_llamas_sizes({{"model_type", "qwen3"}, {"head_dim", 32}}); }
nlohmann::json mixtral() {
  return with_llamas_sizes({{"model_type", "mixtral"}, {"num_local_experts", 4}, {"intermediate_size", 256}});
}
nlohmann::json qwen2_moe() {
  return with_llamas_sizes({{"model_type", "qwen2_moe"},
                            {"num_experts", 8},
                            {"num_experts_per_tok", 3},
                            {"moe_intermediate_size", 128},
                            {"shared_expert_intermediate_size", 256},
                            {"decoder_sparse_step", 2}});
}

nlohmann::json gptj() {
  return {{"model_type", "gptj"}, {"vocab_size", 500}, {"n_positions", kLength}, {"n_embd", 128},
          {"n_layer", 6},         {"n_head", 4},       {"rotary_dim", 16}};
}

struct Trained {
  nlohmann::json config;
  at::ScalarType dtype = at::kFloat;
  bool recomputed = false, autocast = false;
};

void give_gradients(torch::nn::Module& model, at::ScalarType dtype) {
  auto parameters = nn::list_parameters(model);
  for (auto& parameter : parameters) parameter.dtype = dtype;
  nn::DenseMaterializer().materialize(parameters, nn::InitSource(1));
  for (const auto& p : model.parameters()) p.mutable_grad() = at::zeros_like(p);
}

ActivationSetting setting_of(const Trained& run) {
  const int64_t bytes = run.dtype == at::kFloat ? 4 : 2;
  return {.batch = kBatch,
          .length = kLength,
          .stream_bytes = bytes,
          .product_bytes = run.autocast ? 2 : bytes,
          .widened = run.dtype == at::kBFloat16 && !base::cpu_features().fast_bf16,
          .recomputed = run.recomputed};
}

double measured(const Trained& run, const ArchSpec& spec) {
  const auto rng = std::make_shared<accel::Rng>(1);
  Decoder decoder(spec, rng);
  give_gradients(decoder, run.dtype);
  if (run.recomputed) recompute::recompute_blocks(decoder, recompute::layers_of(decoder), {.rng = rng});
  const at::Tensor ids = at::randint(spec.vocab, {kBatch, kLength}, at::kLong);
  const accel::TensorMemory memory;
  at::Tensor loss;
  {
    const accel::Autocast cast(run.autocast ? std::optional(at::kBFloat16) : std::nullopt);
    loss = decoder.forward(ids, ids);
  }
  loss.backward();
  return static_cast<double>(memory.peak_bytes());
}

TEST(ActivationSize, IsWhatDecodersAllocate) {
  const std::vector<Trained> runs = {{gpt2(500)},
                                     {gpt2(20000)},
                                     {llama()},
                                     {gpt_neox()},
                                     {opt()},
                                     {gptj()},
                                     {qwen3()},
                                     {gemma2()},
                                     {mixtral()},
                                     {qwen2_moe()},
                                     {mixtral(), at::kBFloat16, /*recomputed=*/true},
                                     {gpt2(500), at::kBFloat16},
                                     {llama(), at::kBFloat16},
                                     {gpt2(500), at::kFloat, /*recomputed=*/true},
                                     {gpt2(20000), at::kFloat, /*recomputed=*/true},
                                     {llama(), at::kBFloat16, /*recomputed=*/true},
                                     {gpt2(500), at::kFloat, false, /*autocast=*/true}};
  for (const Trained& run : runs) {
    const ArchSpec spec = parse_arch_spec(run.config, "config.json");
    const double want = measured(run, spec), estimate = activation_bytes(spec, setting_of(run));
    SCOPED_TRACE(fmt::format("{}, vocabulary {}, {}{}{}: {:.0f} bytes allocated, {:.0f} estimated",
                             spec.model_type, spec.vocab, c10::toString(run.dtype),
                             run.recomputed ? ", recomputed" : "", run.autocast ? ", autocast" : "", want,
                             estimate));
    EXPECT_GT(estimate, want * 0.9);
    EXPECT_LT(estimate, want * 1.1);
  }
}

TEST(ActivationSize, IsWhatAnEncoderAllocates) {
  const ArchSpec spec = parse_arch_spec({{"model_type", "bert"},
                                         {"vocab_size", 500},
                                         {"max_position_embeddings", kLength},
                                         {"hidden_size", 128},
                                         {"num_hidden_layers", 6},
                                         {"num_attention_heads", 4},
                                         {"intermediate_size", 512},
                                         {"type_vocab_size", 2},
                                         {"architectures", {"BertForSequenceClassification"}}},
                                        "config.json");
  SequenceClassifier model(spec, std::make_shared<accel::Rng>(1));
  give_gradients(model, at::kFloat);
  const at::Tensor ids = at::randint(spec.vocab, {kBatch, kLength}, at::kLong);
  const at::Tensor labels = at::zeros({kBatch}, at::kLong);
  const accel::TensorMemory memory;
  const std::optional<at::Tensor> none;
  model.forward(ids, labels, none, none).backward();
  const auto want = static_cast<double>(memory.peak_bytes());
  const double estimate = activation_bytes(spec, {.batch = kBatch, .length = kLength, .predicted = 0});
  EXPECT_GT(estimate, want * 0.9) << want;
  EXPECT_LT(estimate, want * 1.1) << want;
}

}  // namespace
}  // namespace deepspeed::models
