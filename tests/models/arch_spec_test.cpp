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
  EXPECT_EQ(parse_arch_spec(old, "c").rope_theta, 500000);
  EXPECT_EQ(parse_arch_spec(now, "c").rope_theta, 500000);
  EXPECT_NE(error_of({{"model_type", "llama"}, {"rope_parameters", {{"rope_type", "yarn"}}}})
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
  std::vector<json> configs = {{{"model_type", "gpt2"}, {"n_layer", 2}, {"n_embd", 8}, {"n_head", 2}},
                               {{"model_type", "bloom"}, {"n_layer", 2}, {"hidden_size", 8}, {"n_head", 2}}};
  for (const char* type : {"llama", "mistral", "qwen2", "phi3", "gpt_neox", "opt"})
    configs.push_back({{"model_type", type},
                       {"num_hidden_layers", 2},
                       {"hidden_size", 8},
                       {"num_attention_heads", 2},
                       {"num_key_value_heads", 2},
                       {"intermediate_size", 12},
                       {"ffn_dim", 12},
                       {"rotary_pct", 0.5},
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
        EXPECT_TRUE(value.eq(1).all().item<bool>());
      } else {
        const bool deep = spec.scaled_residual_init && (p.name.find("output") + 1 || p.name.find("down") + 1);
        EXPECT_NEAR(value.std().item<double>(), deep ? std / 2 : std, std / 3);
        EXPECT_NEAR(value.mean().item<double>(), 0, std / 3);
      }
      if (p.name == "embedding.weight") {
        const bool padded = spec.padding_token.has_value();
        EXPECT_EQ(padded, !(spec.model_type == "gpt2" || spec.model_type == "bloom" ||
                            spec.model_type == "gpt_neox"));
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
  EXPECT_EQ(parse_arch_spec({{"model_type", "gpt_neox"}}, "c").rotary_dim, 24);
  EXPECT_EQ(parse_arch_spec({{"model_type", "gpt_neox"}, {"rotary_pct", 1.0}}, "c").rotary_dim, 96);
  EXPECT_EQ(parse_arch_spec({{"model_type", "phi3"}, {"partial_rotary_factor", 0.5}}, "c").rotary_dim, 48);
  EXPECT_EQ(
      parse_arch_spec({{"model_type", "phi3"}, {"rope_parameters", {{"partial_rotary_factor", 0.25}}}}, "c")
          .rotary_dim,
      24);
  EXPECT_NE(error_of({{"model_type", "gpt_neox"}, {"rotary_pct", 0.01}}).find("rotary"), std::string::npos);
}

TEST(ArchSpec, RefusesWhatTheFamiliesDoNotHaveYetInOneClearLine) {
  const std::pair<json, const char*> cases[] = {
      {{{"model_type", "phi3"}, {"rope_scaling", {{"type", "longrope"}, {"long_factor", {1.0, 1.1}}}}},
       "c: 'rope_scaling' of type \"longrope\" is not available yet (only default)"},
      {{{"model_type", "phi3"}, {"rope_parameters", {{"rope_type", "longrope"}}}},
       "c: 'rope_parameters' of type \"longrope\" is not available yet (only default)"},
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
