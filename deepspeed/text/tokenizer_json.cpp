#include <algorithm>
#include <nlohmann/json.hpp>

#include "deepspeed/base/error.h"
#include "deepspeed/text/json_view.h"
#include "deepspeed/text/nfc.h"
#include "deepspeed/text/pipeline.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

constexpr int kMaxDepth = 16;

[[noreturn]] void refuse(const JsonView& view, std::string_view what) {
  base::fail("{}: {} is not supported; byte-level BPE (GPT-2, Llama 3, Qwen 2) is", view.where(), what);
}

std::string type_of(const JsonView& view) { return view.at("type").text(); }

// ---- model

Vocabulary read_vocabulary(const JsonView& view) {
  Vocabulary vocabulary;
  vocabulary.reserve(view.object().size());
  for (const auto& [token, id] : view.object()) {
    vocabulary.emplace(token, view.id_of(token, id));
  }
  return vocabulary;
}

std::pair<std::string, std::string> read_merge(const JsonView& merges, size_t index) {
  const nlohmann::json& merge = merges.value()[index];
  if (merge.is_array()) {
    DS_CHECK(merge.size() == 2 && merge[0].is_string() && merge[1].is_string(), "{} must hold two tokens",
             merges.at(index).where());
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  const JsonView view = merges.at(index);
  const std::string& line = view.text();
  const size_t space = line.find(' ');
  DS_CHECK(space != std::string::npos && line.find(' ', space + 1) == std::string::npos,
           "{} must be two tokens with one space between, not {}", view.where(), quote(line));
  return {line.substr(0, space), line.substr(space + 1)};
}

BpeModel read_model(const JsonView& view) {
  if (view.has("type") && type_of(view) != "BPE") refuse(view, "model type " + quote(type_of(view)));
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (view.has(key) && !view.at(key).text().empty()) refuse(view.at(key), "any value but null");
  }
  if (view.has("dropout") && view.at("dropout").value() != 0.0)
    refuse(view.at("dropout"), "dropout of merges");
  if (view.boolean_or("byte_fallback", false)) refuse(view.at("byte_fallback"), "byte_fallback");
  BpeOptions options;
  options.where = view.where().substr(0, view.where().rfind(": "));
  options.vocabulary = read_vocabulary(view.at("vocab"));
  const JsonView merges = view.at("merges");
  options.merges.reserve(merges.array_size());
  for (size_t i = 0; i < merges.array_size(); ++i) {
    const nlohmann::json& merge = merges.value()[i];
    if (merge.is_string() && merge.get_ref<const std::string&>().starts_with("#version")) continue;
    options.merges.push_back(read_merge(merges, i));
  }
  if (view.has("unk_token")) options.unknown_token = view.at("unk_token").text();
  options.fuse_unknown = view.boolean_or("fuse_unk", false);
  options.ignore_merges = view.boolean_or("ignore_merges", false);
  return BpeModel(std::move(options));
}

// ---- normalizer and added tokens

bool read_normalizer(const JsonView& view, int depth = 0) {
  if (view.is_null()) return false;
  const std::string type = type_of(view);
  if (type == "NFC") return true;
  if (type != "Sequence" || depth > kMaxDepth) refuse(view, "normalizer " + quote(type));
  bool nfc = false;
  const JsonView parts = view.at("normalizers");
  for (size_t i = 0; i < parts.array_size(); ++i) nfc |= read_normalizer(parts.at(i), depth + 1);
  return nfc;
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
    const bool changes = token.normalized && pipeline.normalize_nfc;
    token.normalized_content = changes ? normalize_nfc(token.content) : token.content;
    tokens.push_back(std::move(token));
  }
  return AddedTokens(std::move(tokens), pipeline.model, pipeline.name);
}

// ---- pre-tokenizer

SplitBehavior read_behavior(const JsonView& view) {
  const std::string& name = view.text();
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  base::fail("{} must be Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous, not {}",
             view.where(), quote(name));
}

SplitStep read_split(const JsonView& view) {
  const JsonView pattern = view.at("pattern");
  const bool is_text = pattern.has("String");
  const JsonView source = pattern.at(is_text ? "String" : "Regex");
  Pattern compiled =
      is_text ? Pattern::of_text(source.text(), source.where()) : Pattern(source.text(), source.where());
  return {std::move(compiled), read_behavior(view.at("behavior")), view.at("invert").boolean()};
}

ByteLevelStep read_byte_level(const JsonView& view) {
  ByteLevelStep step{view.at("add_prefix_space").boolean(), {}};
  if (view.boolean_or("use_regex", true)) step.pattern.emplace(kGpt2Pattern, view.where());
  return step;
}

void read_pre_tokenizer(const JsonView& view, std::vector<PreTokenizerStep>& steps, int depth = 0) {
  if (view.is_null()) refuse(view, "a missing ByteLevel");
  if (!steps.empty() && std::holds_alternative<ByteLevelStep>(steps.back()))
    refuse(view, "a step after ByteLevel");
  const std::string type = type_of(view);
  if (type == "ByteLevel") {
    steps.emplace_back(read_byte_level(view));
  } else if (type == "Split") {
    steps.emplace_back(read_split(view));
  } else if (type == "Digits") {
    steps.emplace_back(DigitsStep{view.at("individual_digits").boolean()});
  } else if (type == "Sequence" && depth < kMaxDepth) {
    const JsonView parts = view.at("pretokenizers");
    for (size_t i = 0; i < parts.array_size(); ++i) read_pre_tokenizer(parts.at(i), steps, depth + 1);
  } else {
    refuse(view, "pre_tokenizer " + quote(type));
  }
}

// ---- post-processor and decoder

TemplateStep::Part read_template_part(const JsonView& part, const JsonView& special,
                                      const Pipeline& pipeline) {
  if (part.has("Sequence")) {
    const JsonView id = part.at("Sequence").at("id");
    DS_CHECK(id.text() == "A", "{} must be 'A': a single text has no other", id.where());
    return {true, {}, {}};
  }
  const std::string& name = part.at("SpecialToken").at("id").text();
  const JsonView entry = special.member(name);
  const JsonView ids = entry.at("ids"), tokens = entry.at("tokens");
  DS_CHECK(ids.array_size() == tokens.array_size(), "{}: ids and tokens differ in number", entry.where());
  TemplateStep::Part out{false, {}, {}};
  for (size_t i = 0; i < ids.array_size(); ++i) {
    out.ids.push_back(ids.at(i).id());
    out.tokens.push_back(tokens.at(i).text());
    DS_CHECK(
        pipeline.model.token_of(out.ids.back()) != nullptr || pipeline.added.find(out.ids.back()) != nullptr,
        "{}: no token has id {}", ids.at(i).where(), out.ids.back());
  }
  return out;
}

void read_post_processor(const JsonView& view, Pipeline& pipeline, int depth = 0) {
  if (view.is_null()) return;
  const std::string type = type_of(view);
  if (type == "ByteLevel") {
    if (view.at("trim_offsets").boolean()) {
      pipeline.post_processor.emplace_back(TrimOffsetsStep{view.at("add_prefix_space").boolean()});
    }
  } else if (type == "TemplateProcessing") {
    for (const auto& step : pipeline.post_processor) {
      if (std::holds_alternative<TemplateStep>(step)) refuse(view, "a second TemplateProcessing");
    }
    TemplateStep step;
    const JsonView parts = view.at("single"), special = view.at("special_tokens");
    for (size_t i = 0; i < parts.array_size(); ++i) {
      step.parts.push_back(read_template_part(parts.at(i), special, pipeline));
    }
    const auto sequences =
        std::count_if(step.parts.begin(), step.parts.end(), [](const auto& p) { return p.is_sequence; });
    if (sequences != 1) refuse(parts, "a template that does not hold the text once");
    pipeline.post_processor.emplace_back(std::move(step));
  } else if (type == "Sequence" && depth < kMaxDepth) {
    const JsonView parts = view.at("processors");
    for (size_t i = 0; i < parts.array_size(); ++i) read_post_processor(parts.at(i), pipeline, depth + 1);
  } else {
    refuse(view, "post_processor " + quote(type));
  }
}

bool read_decoder(const JsonView& view) {
  if (view.is_null()) return false;
  const std::string type = type_of(view);
  if (type != "ByteLevel") refuse(view, "decoder " + quote(type));
  return true;
}

}  // namespace

Pipeline read_tokenizer_json(std::string_view json, const std::string& name) {
  nlohmann::json document;
  try {
    document = nlohmann::json::parse(json);
  } catch (const nlohmann::json::parse_error& error) {
    const std::string text = error.what();
    base::fail("{}: not valid JSON: {}", name, one_line(text.substr(text.find(' ') + 1)));
  }
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
  pipeline.normalize_nfc = read_normalizer(part("normalizer"));
  pipeline.model = read_model(root.at("model"));
  if (root.has("added_tokens")) pipeline.added = read_added_tokens(root.at("added_tokens"), pipeline);
  read_pre_tokenizer(part("pre_tokenizer"), pipeline.pre_tokenizer);
  const auto& steps = pipeline.pre_tokenizer;
  if (steps.empty() || !std::holds_alternative<ByteLevelStep>(steps.back())) {
    refuse(part("pre_tokenizer"), "a pre_tokenizer without ByteLevel at its end");
  }
  read_post_processor(part("post_processor"), pipeline);
  pipeline.byte_level_decoder = read_decoder(part("decoder"));
  return pipeline;
}

}  // namespace deepspeed::text
