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
  EXPECT_NE(error_of({{"model_type", "gpt2"}, {"activation_function", "relu"}}).find("relu"),
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

TEST(ArchSpec, EveryParameterOfEveryFamilyHasAHuggingFaceName) {
  for (const json& config : {json{{"model_type", "gpt2"},
                                  {"n_layer", 2},
                                  {"n_embd", 8},
                                  {"n_head", 2},
                                  {"vocab_size", 5},
                                  {"tie_word_embeddings", false}},
                             json{{"model_type", "llama"},
                                  {"num_hidden_layers", 2},
                                  {"hidden_size", 8},
                                  {"num_attention_heads", 2},
                                  {"vocab_size", 5},
                                  {"attention_bias", true},
                                  {"mlp_bias", true}}}) {
    const ArchSpec spec = parse_arch_spec(config, "config.json");
    Decoder model(spec, std::make_shared<accel::Rng>(1));
    std::set<std::string> names;
    for (const auto& p : nn::list_parameters(model))
      EXPECT_TRUE(names.insert(spec.hugging_face_name(p.name)).second) << p.name;
    EXPECT_EQ(names.size(), nn::list_parameters(model).size());
  }
  EXPECT_EQ(parse_arch_spec({{"model_type", "gpt2"}}, "c").hugging_face_name("layers.11.mlp.up.bias"),
            "transformer.h.11.mlp.c_fc.bias");
  EXPECT_THROW(parse_arch_spec({{"model_type", "gpt2"}}, "c").hugging_face_name("layers.1.nothing"),
               base::Error);
}

}  // namespace
}  // namespace deepspeed::models
