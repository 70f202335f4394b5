// Broken config.json, tokenizer.json and chat templates of the corpus.
#include "tests/inference/broken_models.h"

namespace deepspeed::inference {
namespace {

using config::Json;

std::string many(const std::string& text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

struct Content {
  const char* name;
  std::string content;
  const char* error;
};

// The tiny LLaMA's with these keys.
std::string config_with(const Json& keys) {
  Json config = Json::parse(whole_model().at("config.json"));
  config.update(keys);
  return config.dump();
}

std::vector<Content> configs() {
  const auto key = [](const char* name, const Json& value) {
    Json keys = Json::object();
    keys[name] = value;
    return config_with(keys);
  };
  const auto rope = [&](const Json& value) { return key("rope_parameters", value); };
  return {
      {"ConfigIsNotJson", "{\"model_type\": ", "not valid JSON"},
      {"ConfigIsAList", "[]", "config.json"},
      {"ConfigIsNotUtf8", "{\"model_type\": \"\xff\"}", "not valid JSON"},
      {"ConfigNestedWithoutEnd", "{\"layer_types\": " + many("[", 200000), "deeper than 64"},
      {"ConfigNestedDeeply", "{\"model_type\": " + many("[", 5000) + many("]", 5000) + "}", "deeper than 64"},
      {"ConfigNumberTooLarge", "{\"rms_norm_eps\": 1e999}", "not valid JSON"},
      {"ConfigWithoutType", "{}", "model_type \"\" is not available yet"},
      {"ConfigTypeIsANumber", key("model_type", 7), "'model_type' must be a string"},
      {"ConfigTypeIsALongText", key("model_type", many("x", 1 << 20)), "is not available yet"},
      {"ConfigTypeHasLines", key("model_type", "a\nb"), "is not available yet"},
      {"ConfigManyLayers", key("num_hidden_layers", 2147483647), "more than the 100000"},
      {"ConfigLayersBeyondAnyNumber", key("num_hidden_layers", ~uint64_t{0}), "more than the 100000"},
      {"ConfigNoLayers", key("num_hidden_layers", 0), "'num_hidden_layers' is 0, which is no possible size"},
      {"ConfigNegativeWidth", key("hidden_size", -32), "'hidden_size' is -32"},
      {"ConfigWidthOf63Bits", key("hidden_size", INT64_MAX), "no possible size"},
      {"ConfigBrokenLayer", key("num_hidden_layers", 1.5), "'num_hidden_layers' must be a whole number"},
      {"ConfigManyHeads", key("num_attention_heads", 2147483647), "'num_attention_heads' is 2147483647"},
      {"ConfigManyExperts", config_with({{"model_type", "mixtral"}, {"num_local_experts", 90000}}),
       "2 layers of 90000 experts"},
      {"ConfigUnevenHeads", key("num_key_value_heads", 3), "not a multiple of 3 key-value heads"},
      {"ConfigLargeVocabulary", key("vocab_size", 2000000000), "asks for [2000000000, 32]"},
      {"ConfigWideLayers", key("intermediate_size", 2000000000), "asks for [2000000000, 32]"},
      {"ConfigFlagIsAText", key("tie_word_embeddings", "yes"), "must be true or false"},
      {"ConfigEpsilonOfNothing", key("rms_norm_eps", 0), "must be positive"},
      {"ConfigUnknownRope", rope({{"rope_type", "spiral"}}), "\"spiral\" is not available yet"},
      {"ConfigRopeFactorMissing", rope({{"rope_type", "linear"}}), "'rope_parameters.factor' is missing"},
      {"ConfigRopeFactorNegative", rope({{"rope_type", "linear"}, {"factor", -1}}), "must be positive"},
      {"ConfigRopeFactorsTooFew",
       rope({{"rope_type", "longrope"},
             {"factor", 2},
             {"short_factor", Json::array({1})},
             {"long_factor", Json::array({1})}}),
       "must be a list of"}};
}

std::vector<Content> tokenizers() {
  const auto changed = [](const char* pointer, const Json& value) {
    Json document = Json::parse(whole_model().at("tokenizer.json"));
    document[Json::json_pointer(pointer)] = value;
    return document.dump();
  };
  return {
      {"TokenizerIsNotJson", "{", "not valid JSON"},
      {"TokenizerNestedWithoutEnd", many("[", 500000), "not valid JSON"},
      {"TokenizerNumberTooLarge", changed("/model/vocab/a", 1).replace(0, 1, "{\"x\": 1e999, "),
       "not valid JSON"},
      {"TokenizerNestedDeeply", "{\"model\": " + many("[", 300000) + many("]", 300000) + "}", "tokenizer"},
      {"TokenizerIsNotUtf8", "{\"model\": \"\xff\"}", "not valid JSON"},
      {"TokenizerWithoutModel", "{}", "'model' is missing"},
      {"TokenizerOfAnUnknownKind", changed("/model/type", "Words"), "model type 'Words' is not supported"},
      {"TokenizerIdBeyond32Bits", changed("/model/vocab/a", int64_t{1} << 40), "must be a token id"},
      {"TokenizerNegativeId", changed("/model/vocab/a", -5), "must be a token id"},
      {"TokenizerTwoOfOneId", changed("/model/vocab/a", 0), "have id 0"},
      {"TokenizerMergeOfUnknownTokens", changed("/model/merges", Json::array({"q q"})),
       "needs 'qq', which model.vocab lacks"},
      {"TokenizerPatternWithoutEnd",
       changed(
           "/pre_tokenizer",
           {{"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}, {"invert", false}}),
       "pattern"}};
}

std::vector<Content> templates() {
  const auto chat = [](const std::string& source) { return Json{{"chat_template", source}}.dump(); };
  return {
      {"TemplateLoopsWithoutEnd",
       chat("{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}"), "allowed"},
      {"TemplateMakesALongText", chat("{{ 'a' * 99999999999 }}"), "allowed"},
      {"TemplateCallsItself", chat("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), "too many calls"},
      {"TemplateNestsParentheses", chat("{{ " + many("(", 50000) + "1" + many(")", 50000) + " }}"),
       "nesting"},
      {"TemplateNestsConditions", chat(many("{% if a %}", 5000)), "too much nesting"},
      {"TemplateReadsFiles", chat("{% include '/etc/passwd' %}"), "the tag 'include' is not supported"},
      {"TemplateReachesForClasses", chat("{{ ''.__class__.__mro__[1].__subclasses__() }}"), ""},
      {"TemplateRefuses", chat("{{ raise_exception('no users here') }}"), "no users here"},
      {"TemplateIsTooLong", chat(many("a", 3 << 20)), "more than"},
      {"TokenizerConfigIsNotJson", "{", "tokenizer_config.json"},
      {"TokenizerConfigNumberTooLarge", "{\"model_max_length\": 1e999}", "not valid JSON"},
      {"TokenizerConfigNestedDeeply", "{\"x\": " + many("[", 300000) + many("]", 300000) + "}",
       "deeper than 64"}};
}

}  // namespace

std::vector<BrokenModel> broken_texts() {
  std::vector<BrokenModel> out;
  for (const Content& broken : configs())
    out.push_back({broken.name, whole_model_with({{"config.json", broken.content}}), broken.error});
  for (const Content& broken : tokenizers())
    out.push_back({broken.name, whole_model_with({{"tokenizer.json", broken.content}}), broken.error});
  for (const Content& broken : templates())
    out.push_back({broken.name, whole_model_with({{"tokenizer_config.json", broken.content}}), broken.error});
  return out;
}

}  // namespace deepspeed::inference
