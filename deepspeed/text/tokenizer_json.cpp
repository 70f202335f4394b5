#include "deepspeed/text/tokenizer_json.h"

#include <map>

#include "deepspeed/base/error.h"

namespace deepspeed::text {

void refuse(const JsonView& view, std::string_view what) {
  base::fail("{}: {} is not supported; deepspeed/text/tokenizer.h lists what is", view.where(), what);
}

std::string type_of(const JsonView& view) { return view.at("type").text(); }

Matcher read_matcher(const JsonView& view) {
  if (view.has("String")) return Matcher(view.at("String").text());
  const JsonView source = view.at("Regex");
  return Matcher(Pattern(source.text(), source.where()));
}

uint32_t read_character(const JsonView& view) {
  size_t at = 0;
  const std::string& text = view.text();
  const uint32_t c = text.empty() ? 0 : next_code_point(text, at);
  DS_CHECK(!text.empty() && at == text.size(), "{} must be one character, not {}", view.where(), quote(text));
  return c;
}

std::optional<Truncation> read_truncation(const JsonView& view) {
  using Strategy = Truncation::Strategy;
  static const std::map<std::string, Strategy> strategies = {{"LongestFirst", Strategy::kLongestFirst},
                                                             {"OnlyFirst", Strategy::kOnlyFirst},
                                                             {"OnlySecond", Strategy::kOnlySecond}};
  if (view.is_null()) return std::nullopt;
  Truncation out;
  out.max_length = static_cast<size_t>(view.at("max_length").id());
  out.stride = static_cast<size_t>(view.at("stride").id());
  const auto strategy = strategies.find(view.at("strategy").text());
  DS_CHECK(strategy != strategies.end(), "{} must be LongestFirst, OnlyFirst or OnlySecond",
           view.at("strategy").where());
  out.strategy = strategy->second;
  out.from_left = view.has("direction") && view.at("direction").text() == "Left";
  return out;
}

std::optional<Padding> read_padding(const JsonView& view) {
  if (view.is_null()) return std::nullopt;
  Padding out;
  const JsonView strategy = view.at("strategy");
  if (strategy.has("Fixed")) {
    out.length = static_cast<size_t>(strategy.at("Fixed").id());
  } else {
    DS_CHECK(strategy.text() == "BatchLongest", "{} must be BatchLongest or Fixed", strategy.where());
  }
  if (view.has("pad_to_multiple_of"))
    out.multiple_of = static_cast<size_t>(view.at("pad_to_multiple_of").id());
  out.on_left = view.has("direction") && view.at("direction").text() == "Left";
  out.id = view.at("pad_id").id();
  out.type_id = view.at("pad_type_id").id();
  out.token = view.at("pad_token").text();
  return out;
}

namespace {

std::string normalized(const Pipeline& pipeline, const std::string& text) {
  PieceStorage storage;
  return std::string(normalize(pipeline.normalizer, Piece{text, nullptr, -1}, storage).text);
}

AddedTokens read_added_tokens(const JsonView& view, const Pipeline& pipeline) {
  std::vector<AddedToken> tokens;
  for (size_t i = 0; i < view.array_size(); ++i) {
    const JsonView entry = view.at(i);
    AddedToken token;
    token.id = entry.at("id").id();
    token.content = entry.at("content").text();
    token.single_word = entry.at("single_word").boolean();
    token.left_strip = entry.at("lstrip").boolean();
    token.right_strip = entry.at("rstrip").boolean();
    token.normalized = entry.at("normalized").boolean();
    token.special = entry.at("special").boolean();
    token.normalized_content = token.normalized ? normalized(pipeline, token.content) : token.content;
    tokens.push_back(std::move(token));
  }
  return AddedTokens(std::move(tokens), *pipeline.model, pipeline.name);
}

nlohmann::json parse(std::string_view json, const std::string& name) {
  try {
    return nlohmann::json::parse(json);
  } catch (const nlohmann::json::exception& error) {
    const std::string text = error.what();
    base::fail("{}: not valid JSON: {}", name, one_line(text.substr(text.find(' ') + 1)));
  }
}

// BPE works on bytes where ByteLevel hands them over; other models want the characters that ByteLevel writes.
bool works_on_bytes(Pipeline& pipeline, const JsonView& model) {
  auto* last =
      pipeline.pre_tokenizer.empty() ? nullptr : std::get_if<ByteLevelStep>(&pipeline.pre_tokenizer.back());
  if (last == nullptr) return false;
  const bool is_bpe = model.has("type") ? type_of(model) == "BPE" : model.has("merges");
  last->writes_characters = !is_bpe;
  return is_bpe;
}

}  // namespace

void cut_before_markers(Pipeline& pipeline) {
  constexpr std::string_view kMarker = "\xE2\x96\x81";  // U+2581, SentencePiece's
  if (pipeline.model->may_cut_before(kMarker))
    pipeline.pre_tokenizer.emplace_back(MarkerCutStep{std::string(kMarker)});
}

Pipeline read_tokenizer_json(std::string_view json, const std::string& name) {
  const nlohmann::json document = parse(json, name);
  const nlohmann::json nothing;
  const JsonView root(document, name, "");
  const auto part = [&](const char* key) {
    return root.has(key) ? root.at(key) : JsonView(nothing, name, key);
  };
  DS_CHECK(document.is_object(), "{}: a tokenizer.json must hold an object", name);
  if (root.has("version") && root.at("version").text() != "1.0")
    refuse(root.at("version"), "any version but '1.0'");
  Pipeline pipeline;
  pipeline.name = name;
  read_normalizer(part("normalizer"), pipeline.normalizer);
  read_pre_tokenizer(part("pre_tokenizer"), pipeline.pre_tokenizer);
  pipeline.model = read_model(root.at("model"), works_on_bytes(pipeline, root.at("model")));
  if (root.has("added_tokens")) pipeline.added = read_added_tokens(root.at("added_tokens"), pipeline);
  read_post_processor(part("post_processor"), pipeline);
  pipeline.decoder.clear();
  read_decoder(part("decoder"), pipeline.decoder);
  pipeline.truncation = read_truncation(part("truncation"));
  pipeline.padding = read_padding(part("padding"));
  return pipeline;
}

}  // namespace deepspeed::text
