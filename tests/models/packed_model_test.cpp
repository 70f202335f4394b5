#include "deepspeed/models/packed_model.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "deepspeed/base/error.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/models/encoder_heads.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::models {
namespace {

using ops::PackedScheme;

ArchSpec llama(bool tied) {
  return parse_arch_spec({{"model_type", "llama"},
                          {"vocab_size", 70},
                          {"max_position_embeddings", 16},
                          {"hidden_size", 64},
                          {"num_hidden_layers", 2},
                          {"num_attention_heads", 4},
                          {"num_key_value_heads", 2},
                          {"intermediate_size", 96},
                          {"tie_word_embeddings", tied},
                          {"initializer_range", 0.2}},
                         "config.json");
}
ArchSpec gpt2() {
  return parse_arch_spec({{"model_type", "gpt2"},
                          {"vocab_size", 70},
                          {"n_positions", 16},
                          {"n_embd", 64},
                          {"n_layer", 2},
                          {"n_head", 4},
                          {"embd_pdrop", 0.0},
                          {"attn_pdrop", 0.0},
                          {"resid_pdrop", 0.0},
                          {"initializer_range", 0.2}},
                         "config.json");
}

std::shared_ptr<Decoder> made(const ArchSpec& spec) {
  auto model = std::make_shared<Decoder>(spec, nullptr);
  nn::DenseMaterializer().materialize(nn::list_parameters(*model), nn::InitSource(1));
  model->eval();
  return model;
}

PackModelOptions all_in(PackedScheme scheme, std::optional<int64_t> group = {}) {
  return {{.weights = {scheme, group, false}}, ops::PackOptions{scheme, group, false}};
}

double off(const at::Tensor& a, const at::Tensor& b) { return ((a - b).norm() / b.norm()).item<double>(); }

TEST(PackedModel, LogitsAreThoseOfTheDenseModelButForTheSchemesRounding) {
  at::NoGradGuard no_grad;
  const at::Tensor ids = at::arange(24).view({2, 12}) % 70;
  const std::vector<std::tuple<PackedScheme, std::optional<int64_t>, double>> wanted = {
      {PackedScheme::kFp32, {}, 1e-5},       {PackedScheme::kBf16, {}, 0.02}, {PackedScheme::kInt8, 0, 0.05},
      {PackedScheme::kInt8Dynamic, 0, 0.08}, {PackedScheme::kFp6, 32, 0.3},   {PackedScheme::kInt4, 32, 0.5}};
  for (const ArchSpec& spec : {llama(true), llama(false), gpt2()})
    for (const auto& [scheme, group, most] : wanted) {
      auto model = made(spec);
      const at::Tensor dense = model->logits(ids);
      pack_model(*model, all_in(scheme, group));
      const double error = off(model->logits(ids), dense);
      EXPECT_LT(error, most) << ops::scheme_name(scheme);
      if (scheme != PackedScheme::kFp32) {
        EXPECT_GT(error, most / 100) << ops::scheme_name(scheme) << ": was it packed?";
      }
    }
}

TEST(PackedModel, AnEmbeddingTiedToAPackedHeadReadsItsRows) {
  auto untied = made(llama(false)), tied = made(llama(true));
  const at::Tensor table = nn::list_parameters(*tied).at(0).tensor.detach().clone();
  const nn::PackedLinears done = pack_model(*untied, all_in(PackedScheme::kInt8));
  EXPECT_EQ(done.products, 2 * 4 + 1) << "qkv, output, gate-up and down of two layers, and the head";
  EXPECT_LT(done.packed_bytes, done.dense_bytes * 3 / 10);
  pack_model(*tied, all_in(PackedScheme::kInt8));
  EXPECT_TRUE(untied->named_parameters().contains("embedding.weight"));
  EXPECT_FALSE(tied->named_parameters().contains("embedding.weight"));
  EXPECT_EQ(untied->named_parameters().size(), tied->named_parameters().size() + 1);

  auto embedding = std::dynamic_pointer_cast<nn::Embedding>(tied->named_children()["embedding"]);
  const at::Tensor ids = at::arange(70).view({7, 10}), rows = embedding->forward(ids);
  EXPECT_EQ(rows.sizes(), at::IntArrayRef({7, 10, 64}));
  const at::Tensor packed = ops::PackedWeight::pack(table, {PackedScheme::kInt8}).dequantize();
  EXPECT_TRUE(at::equal(rows.view({70, 64}), packed));
}

TEST(PackedModel, PacksWhatItReadsAsWhatIsInMemory) {
  at::NoGradGuard no_grad;
  const at::Tensor ids = at::arange(24).view({2, 12}) % 70;
  for (const ArchSpec& spec : {llama(true), llama(false), gpt2()})
    for (PackedScheme scheme : {PackedScheme::kFp32, PackedScheme::kInt4}) {
      auto in_memory = made(spec), read = std::make_shared<Decoder>(spec, nullptr);
      pack_model(*in_memory, all_in(scheme));
      const nn::InitSource source(1);
      PackModelOptions options = all_in(scheme);
      options.linears.source = &source;
      pack_model(*read, options);
      for (const auto& parameter : nn::list_parameters(*read))
        EXPECT_FALSE(nn::is_materialized(parameter.tensor)) << parameter.name;
      nn::DenseMaterializer().materialize(nn::list_parameters(*read), source);
      read->eval();
      EXPECT_TRUE(at::equal(read->logits(ids), in_memory->logits(ids))) << spec.model_type;
    }
}

TEST(PackedModel, DisentangledAttentionKeepsItsDistances) {
  at::NoGradGuard no_grad;
  for (const char* name : {"deberta_v2-sharp", "deberta_v2_own-sharp"}) {
    const auto folder = std::filesystem::path(DS_SOURCE_DIR) / "tests/parity/goldens/models" / name;
    const ArchSpec spec = read_arch_spec(folder / "config.json");
    MaskedLanguageModel model(spec, std::make_shared<accel::Rng>(1));
    nn::DenseMaterializer().materialize(nn::list_parameters(model), nn::InitSource(1));
    model.eval();
    const EncoderInput input{at::arange(22).view({2, 11}) % spec.vocab, {}, at::tensor({11, 7}, at::kInt)};
    const at::Tensor dense = model.logits(input);
    pack_model(model, all_in(PackedScheme::kFp32));
    EXPECT_LT(off(model.logits(input), dense), 1e-5) << name;
  }
}

TEST(PackedModel, AModelWithoutMemoryWantsASource) {
  Decoder model(llama(true), nullptr);
  EXPECT_THROW(pack_model(model, all_in(PackedScheme::kBf16)), base::Error);
}

TEST(PackedModel, StepsWithACacheAreThoseOfTheWhole) {
  at::NoGradGuard no_grad;
  auto model = made(llama(true));
  pack_model(*model, all_in(PackedScheme::kFp32));
  const at::Tensor ids = at::arange(9).view({1, 9}), whole = model->logits(ids);
  nn::ContiguousKvCache cache(2, 9);
  for (int64_t t = 0; t < 9; ++t)
    EXPECT_LT(off(model->logits(ids.narrow(1, t, 1), &cache), whole.narrow(1, t, 1)), 1e-5);
}

TEST(PackedModel, ComputesNoLoss) {
  auto model = made(llama(true));
  pack_model(*model, all_in(PackedScheme::kBf16));
  const at::Tensor ids = at::arange(8).view({1, 8});
  at::NoGradGuard no_grad;
  EXPECT_THROW(model->forward(ids, ids), base::Error);
}

}  // namespace
}  // namespace deepspeed::models
