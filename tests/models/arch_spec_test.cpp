#include "deepspeed/models/arch_spec.h"

#include <gtest/gtest.h>

#include <set>

#include "deepspeed/base/error.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::models {
namespace {

using nlohmann::json;

std::string error_of(const json& config) {
  try {
    parse_arch_spec(config, "config.json");
  } catch (const base::Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ArchSpec, ReadsBothSpellingsOfRotaryParameters) {
  const json old = {{"model_type", "llama"}, {"rope_theta", 500000.0}};
  const json now = {{"model_type", "llama"},
                    {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 500000.0}}}};
  EXPECT_EQ(parse_arch_spec(old, "c").rope.theta, 500000);
  EXPECT_EQ(parse_arch_spec(now, "c").rope.theta, 500000);
  EXPECT_NE(error_of({{"model_type", "llama"}, {"rope_parameters", {{"rope_type", "axial"}}}})
                .find("not available yet"),
            std::string::npos);
  EXPECT_NE(error_of({{"model_type", "llama"}, {"rope_scaling", {{"type", "linear"}}}}).find("rope_scaling"),
            std::string::npos);
}

TEST(ArchSpec, RefusesWhatWouldChangeTheArithmetic) {
  EXPECT_NE(
      error_of({{"model_type", "gpt2"}, {"scale_attn_by_inverse_layer_idx", true}}).find("not available yet"),
      std::string::npos);
  EXPECT_NE(error_of({{"model_type", "gpt2"}, {"activation_function", "tanh"}}).find("tanh"),
            std::string::npos);
  EXPECT_NE(error_of({{"model_type", "llama"}, {"hidden_act", "gelu"}}).find("hidden_act"),
            std::string::npos);
}

TEST(ArchSpec, RefusesImpossibleSizesAndTypesNamingTheKey) {
  EXPECT_NE(error_of({{"model_type", "gpt2"}, {"n_layer", 0}}).find("n_layer"), std::string::npos);
  EXPECT_NE(error_of({{"model_type", "gpt2"}, {"n_layer", "two"}}).find("n_layer"), std::string::npos);
  EXPECT_NE(error_of({{"model_type", "gpt2"}, {"attn_pdrop", 1.5}}).find("attn_pdrop"), std::string::npos);
  EXPECT_NE(error_of({{"model_type", "llama"}, {"num_attention_heads", 4}, {"num_key_value_heads", 3}})
                .find("key-value"),
            std::string::npos);
  EXPECT_NE(error_of({{"model_type", 7}}).find("model_type"), std::string::npos);
  EXPECT_NE(error_of(json::array()).find("object"), std::string::npos);
}

// Small, untied and with every bias that the family can have.
std::vector<json> one_of_each_family() {
  std::vector<json> configs = {
      {{"model_type", "gpt2"}, {"n_layer", 2}, {"n_embd", 8}, {"n_head", 2}},
      {{"model_type", "gptj"}, {"n_layer", 2}, {"n_embd", 8}, {"n_head", 2}, {"rotary_dim", 2}},
      {{"model_type", "bloom"}, {"n_layer", 2}, {"hidden_size", 8}, {"n_head", 2}},
      {{"model_type", "gpt_neo"},
       {"num_layers", 2},
       {"hidden_size", 8},
       {"num_heads", 2},
       {"attention_types", json::parse(R"([[["global", "local"], 1]])")}}};
  const json falcon = {{"model_type", "falcon"},
                       {"num_hidden_layers", 2},
                       {"hidden_size", 8},
                       {"num_attention_heads", 2},
                       {"bias", true}};
  for (json more : {json{{"multi_query", true}}, json{{"parallel_attn", false}, {"alibi", true}},
                    json{{"new_decoder_architecture", true}, {"num_kv_heads", 1}}}) {
    more.update(falcon);
    configs.push_back(more);
  }
  for (const char* type : {"llama", "mistral", "qwen2", "phi3", "gpt_neox", "opt", "qwen3", "phi", "gemma",
                           "gemma2", "gemma3_text", "mixtral", "qwen2_moe"})
    configs.push_back({{"model_type", type},
                       {"num_hidden_layers", 2},
                       {"hidden_size", 8},
                       {"num_attention_heads", 2},
                       {"num_key_value_heads", 2},
                       {"head_dim", 4},
                       {"intermediate_size", 12},
                       {"ffn_dim", 12},
                       {"rotary_pct", 0.5},
                       {"qk_layernorm", true},
                       {"num_local_experts", 3},
                       {"num_experts", 3},
                       {"num_experts_per_tok", 2},
                       {"moe_intermediate_size", 6},
                       {"shared_expert_intermediate_size", 10},
                       {"decoder_sparse_step", 2},
                       {"attention_bias", true},
                       {"mlp_bias", true}});
  for (json& config : configs) {
    config["vocab_size"] = 50;
    config["pad_token_id"] = 3;
    config["tie_word_embeddings"] = false;
  }
  return configs;
}

TEST(ArchSpec, EveryParameterOfEveryFamilyHasAHuggingFaceName) {
  for (const json& config : one_of_each_family()) {
    const ArchSpec spec = parse_arch_spec(config, "config.json");
    Decoder model(spec, std::make_shared<accel::Rng>(1));
    std::set<std::string> names;
    size_t second_halves = 0;
    for (const auto& p : nn::list_parameters(model)) {
      const bool shared = spec.row_order(p.name) == RowOrder::kSecondHalf;
      EXPECT_NE(names.insert(spec.hugging_face_name(p.name)).second, shared) << p.name;
      second_halves += shared;
    }
    EXPECT_EQ(names.size() + second_halves, nn::list_parameters(model).size());
  }
  EXPECT_EQ(parse_arch_spec({{"model_type", "gpt2"}}, "c").hugging_face_name("layers.11.mlp.up.bias"),
            "transformer.h.11.mlp.c_fc.bias");
  EXPECT_THROW(parse_arch_spec({{"model_type", "gpt2"}}, "c").hugging_face_name("layers.1.nothing"),
               base::Error);
}

TEST(ArchSpec, InitialisesAsTransformersDoes) {
  for (json config : one_of_each_family()) {
    const double std = 0.05;
    config[config["model_type"] == "opt" ? "init_std" : "initializer_range"] = std;
    const ArchSpec spec = parse_arch_spec(config, "config.json");
    Decoder model(spec, std::make_shared<accel::Rng>(1));
    nn::DenseMaterializer().materialize(nn::list_parameters(model), nn::InitSource(1));
    for (const auto& p : nn::list_parameters(model)) {
      SCOPED_TRACE(spec.model_type + " " + p.name);
      const at::Tensor value = p.tensor.detach();
      if (p.name.ends_with("bias")) {
        EXPECT_EQ(value.abs().max().item<float>(), 0);
      } else if (value.dim() == 1) {
        EXPECT_TRUE(value.eq(spec.norm == nn::NormKind::kRmsNormFromOne ? 0 : 1).all().item<bool>());
      } else if (value.numel() >= 64) {  // of fewer, mean and deviation say little
        const bool deep = spec.scaled_residual_init && (p.name.find("output") + 1 || p.name.find("down") + 1);
        EXPECT_NEAR(value.std().item<double>(), deep ? std / 2 : std, std / 3);
        EXPECT_NEAR(value.mean().item<double>(), 0, std / 3);
      }
      if (p.name == "embedding.weight") {
        const bool padded = spec.padding_token.has_value();
        const std::set<std::string> unpadded = {"gpt2", "bloom", "gpt_neox", "gpt_neo", "gptj", "falcon"};
        EXPECT_EQ(padded, !unpadded.contains(spec.model_type));
        EXPECT_EQ(value[3].abs().max().item<float>() == 0, padded);
        EXPECT_EQ(value.eq(0).all(1).sum().item<int64_t>(), padded ? 1 : 0);
      }
    }
  }
}

TEST(ArchSpec, ReadsWhichLayersHaveAWindow) {
  const json mistral = {{"model_type", "mistral"}, {"num_hidden_layers", 2}};
  EXPECT_EQ(parse_arch_spec(mistral, "c").window_of(1), 4096);
  json config = mistral;
  config["sliding_window"] = nullptr;
  EXPECT_EQ(parse_arch_spec(config, "c").window_of(1), 0);
  config["sliding_window"] = 5;
  EXPECT_EQ(parse_arch_spec(config, "c").windows, (std::vector<int64_t>{5, 5}));
  config = {
      {"model_type", "qwen2"}, {"num_hidden_layers", 3}, {"sliding_window", 5}, {"max_window_layers", 1}};
  EXPECT_EQ(parse_arch_spec(config, "c").window_of(2), 0);
  config["use_sliding_window"] = true;
  EXPECT_EQ(parse_arch_spec(config, "c").windows, (std::vector<int64_t>{0, 5, 5}));
  config["layer_types"] = {"sliding_attention", "full_attention", "sliding_attention"};
  EXPECT_EQ(parse_arch_spec(config, "c").windows, (std::vector<int64_t>{5, 0, 5}));
  config["layer_types"] = {"sliding_attention", "chunked_attention", "sliding_attention"};
  EXPECT_NE(error_of(config).find("chunked_attention"), std::string::npos);
  config["layer_types"] = {"sliding_attention"};
  EXPECT_NE(error_of(config).find("layer_types"), std::string::npos);
}

TEST(ArchSpec, ReadsHowMuchOfAHeadIsTurned) {
  EXPECT_EQ(parse_arch_spec({{"model_type", "gpt_neox"}}, "c").rope.dim, 24);
  EXPECT_EQ(parse_arch_spec({{"model_type", "gpt_neox"}, {"rotary_pct", 1.0}}, "c").rope.dim, 96);
  EXPECT_EQ(parse_arch_spec({{"model_type", "phi3"}, {"partial_rotary_factor", 0.5}}, "c").rope.dim, 48);
  EXPECT_EQ(
      parse_arch_spec({{"model_type", "phi3"}, {"rope_parameters", {{"partial_rotary_factor", 0.25}}}}, "c")
          .rope.dim,
      24);
  EXPECT_NE(error_of({{"model_type", "gpt_neox"}, {"rotary_pct", 0.01}}).find("rotary"), std::string::npos);
}

TEST(ArchSpec, RefusesWhatTheFamiliesDoNotHaveYetInOneClearLine) {
  const std::pair<json, const char*> cases[] = {
      {{{"model_type", "phi3"}, {"rope_scaling", {{"type", "longrope"}, {"long_factor", {1.0, 1.1}}}}},
       "c: 'rope_scaling.short_factor' must be a list of 48 numbers, one a pair of a head's elements"},
      {{{"model_type", "gemma3_text"}, {"attn_logit_softcapping", 50.0}},
       "c: 'attn_logit_softcapping' = 50.0 is not available yet (only null)"},
      {{{"model_type", "gemma2"}, {"use_bidirectional_attention", true}},
       "c: 'use_bidirectional_attention' = true is not available yet (only false)"},
      {{{"model_type", "gemma2"}, {"hidden_activation", "relu"}},
       "c: 'hidden_activation' = \"relu\" is not available yet (only \"gelu_pytorch_tanh\")"},
      {{{"model_type", "mixtral"}, {"router_jitter_noise", 0.1}},
       "c: 'router_jitter_noise' = 0.1 is not available yet (only 0)"},
      {{{"model_type", "falcon"}, {"hidden_dropout", 0.1}},
       "c: 'hidden_dropout' = 0.1 is not available yet (only 0)"},
      {{{"model_type", "falcon"},
        {"new_decoder_architecture", true},
        {"num_attention_heads", 64},
        {"hidden_size", 128},
        {"parallel_attn", false}},
       "c: 'num_ln_in_parallel_attn' = 2 is not available with 'new_decoder_architecture' true and "
       "'parallel_attn' "
       "false"},
      {{{"model_type", "qwen2_moe"}, {"num_experts", 3}}, "c: a token cannot go to 4 of 3 experts"},
      {{{"model_type", "qwen2_moe"}, {"mlp_only_layers", {24}}}, "c: 'mlp_only_layers' names layer 24 of 24"},
      {{{"model_type", "gpt_neo"}, {"num_layers", 3}},
       "c: 'attention_types' must be like [[[\"global\", \"local\"], 12]] and make 3 layers of it"},
      {{{"model_type", "opt"},
        {"hidden_size", 1024},
        {"num_attention_heads", 16},
        {"word_embed_proj_dim", 512}},
       "c: 'word_embed_proj_dim' = 512 is not available yet (only 1024)"},
      {{{"model_type", "opt"}, {"do_layer_norm_before", false}},
       "c: 'do_layer_norm_before' = false is not available yet (only true)"},
      {{{"model_type", "bloom"}, {"apply_residual_connection_post_layernorm", true}},
       "c: 'apply_residual_connection_post_layernorm' = true is not available yet (only false)"},
      {{{"model_type", "gpt_neox"}, {"num_attention_heads", 7}},
       "c: the hidden size 6144 is not a multiple of the 7 heads"},
      {{{"model_type", "opt"}, {"vocab_size", 5}, {"pad_token_id", 5}},
       "c: 'pad_token_id' is 5, outside the vocabulary of 5"}};
  for (const auto& [config, message] : cases) {
    try {
      parse_arch_spec(config, "c");
      ADD_FAILURE() << config;
    } catch (const base::Error& error) {
      EXPECT_STREQ(error.what(), message);
    }
  }
}

TEST(ArchSpec, ReadsTheDefaultsOfTransformersForWhatFilesLeaveOut) {
  const ArchSpec gemma2 = parse_arch_spec({{"model_type", "gemma2"}, {"num_hidden_layers", 3}}, "c");
  EXPECT_EQ(gemma2.attention_softcap, 50);
  EXPECT_EQ(gemma2.logit_softcap, 30);
  EXPECT_EQ(gemma2.attention_scale, 1.0 / 16);
  EXPECT_EQ(gemma2.windows, (std::vector<int64_t>{4096, 0, 4096}));
  EXPECT_EQ(
      parse_arch_spec({{"model_type", "gemma2"}, {"attn_logit_softcapping", nullptr}}, "c").attention_softcap,
      0);
  const ArchSpec gemma3 = parse_arch_spec({{"model_type", "gemma3_text"}, {"num_hidden_layers", 7}}, "c");
  EXPECT_EQ(gemma3.windows, (std::vector<int64_t>{4096, 4096, 4096, 4096, 4096, 0, 4096}));
  EXPECT_EQ(gemma3.rope.theta, 1e6);
  EXPECT_EQ(gemma3.local_rope->theta, 1e4);
  EXPECT_EQ(gemma3.logit_softcap, 0);
  // As gemma-3 was released, before rope_parameters.
  const ArchSpec old = parse_arch_spec({{"model_type", "gemma3_text"},
                                        {"rope_theta", 2e6},
                                        {"rope_local_base_freq", 3e4},
                                        {"sliding_window_pattern", 2},
                                        {"rope_scaling", {{"rope_type", "linear"}, {"factor", 8.0}}}},
                                       "c");
  EXPECT_EQ(old.rope.theta, 2e6);
  EXPECT_EQ(old.rope.factor, 8);
  EXPECT_EQ(old.local_rope->theta, 3e4);
  EXPECT_EQ(old.local_rope->stretch, RopeStretch::kNone);
  EXPECT_EQ(old.window_of(1), 0);
  EXPECT_EQ(parse_arch_spec({{"model_type", "gemma"}, {"hidden_act", "gelu"}}, "c").activation,
            nn::Activation::kGeGluTanh);
  const ArchSpec mixtral = parse_arch_spec({{"model_type", "mixtral"}}, "c");
  EXPECT_EQ(mixtral.experts.balance, 0);
  EXPECT_EQ(mixtral.rope.theta, 1e6);
  EXPECT_EQ(parse_arch_spec({{"model_type", "mixtral"}, {"output_router_logits", true}}, "c").experts.balance,
            0.001);
  const ArchSpec phi3 = parse_arch_spec(
      {{"model_type", "phi3"},
       {"hidden_size", 16},
       {"num_attention_heads", 4},
       {"max_position_embeddings", 8192},
       {"rope_scaling", {{"type", "su"}, {"short_factor", {1.0, 1.0}}, {"long_factor", {2.0, 2.0}}}}},
      "c");
  EXPECT_EQ(phi3.rope.stretch, RopeStretch::kLongrope);
  EXPECT_EQ(phi3.rope.original_positions, 4096);
}

TEST(ArchSpec, ReadsWhichLayersHaveExperts) {
  const auto layers = [](json more) {
    json config = {{"model_type", "qwen2_moe"}, {"num_hidden_layers", 4}};
    config.update(more);
    const ArchSpec spec = parse_arch_spec(config, "c");
    std::string text;
    for (size_t i = 0; i < 4; ++i) text += spec.has_experts(i) ? 'e' : 'd';
    return text;
  };
  EXPECT_EQ(layers(json::object()), "eeee");
  EXPECT_EQ(layers({{"decoder_sparse_step", 2}}), "dede");
  EXPECT_EQ(layers({{"mlp_only_layers", {0, 3}}}), "deed");
}

TEST(ArchSpec, CountsANegativePaddingTokenFromTheEnd) {
  EXPECT_EQ(
      parse_arch_spec({{"model_type", "llama"}, {"pad_token_id", -1}, {"vocab_size", 9}}, "c").padding_token,
      8);
  EXPECT_FALSE(parse_arch_spec({{"model_type", "llama"}}, "c").padding_token);
  EXPECT_EQ(parse_arch_spec({{"model_type", "opt"}}, "c").padding_token, 1);
  EXPECT_FALSE(parse_arch_spec({{"model_type", "phi3"}, {"vocab_size", 100}}, "c").padding_token);
}

}  // namespace
}  // namespace deepspeed::models
