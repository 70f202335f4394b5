#include <algorithm>
#include <nlohmann/json.hpp>

#include "deepspeed/base/error.h"
#include "deepspeed/text/bpe_model.h"
#include "deepspeed/text/json_view.h"
#include "deepspeed/text/pipeline.h"
#include "deepspeed/text/utf8.h"
#include "deepspeed/text/word_piece.h"

namespace deepspeed::text {
namespace {

constexpr int kMaxDepth = 16;

[[noreturn]] void refuse(const JsonView& view, std::string_view what) {
  base::fail("{}: {} is not supported; byte-level BPE (GPT-2, Llama 3, Qwen 2) and BERT's WordPiece are",
             view.where(), what);
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

std::unique_ptr<const Model> read_bpe(const JsonView& view) {
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
  return std::make_unique<BpeModel>(std::move(options));
}

std::unique_ptr<const Model> read_word_piece(const JsonView& view) {
  WordPieceOptions options;
  options.where = view.where().substr(0, view.where().rfind(": "));
  options.vocabulary = read_vocabulary(view.at("vocab"));
  if (view.has("unk_token")) options.unknown_token = view.at("unk_token").text();
  if (view.has("continuing_subword_prefix"))
    options.continuing_prefix = view.at("continuing_subword_prefix").text();
  if (view.has("max_input_chars_per_word"))
    options.longest_word = static_cast<size_t>(view.at("max_input_chars_per_word").id());
  return std::make_unique<WordPieceModel>(std::move(options));
}

// Older files leave the type out; only WordPiece has the length of the longest word.
std::unique_ptr<const Model> read_model(const JsonView& view) {
  const std::string type = view.has("type")                       ? type_of(view)
                           : view.has("max_input_chars_per_word") ? "WordPiece"
                                                                  : "BPE";
  if (type == "BPE") return read_bpe(view);
  if (type == "WordPiece") return read_word_piece(view);
  refuse(view, "model type " + quote(type));
}

// ---- normalizer and added tokens

BertNormalizerStep read_bert_normalizer(const JsonView& view) {
  BertNormalizerStep step;
  step.clean_text = view.boolean_or("clean_text", true);
  step.handle_chinese_chars = view.boolean_or("handle_chinese_chars", true);
  step.lowercase = view.boolean_or("lowercase", true);
  step.strip_accents = view.boolean_or("strip_accents", step.lowercase);
  return step;
}

void read_normalizer(const JsonView& view, std::vector<NormalizerStep>& steps, int depth = 0) {
  if (view.is_null()) return;
  const std::string type = type_of(view);
  if (type == "NFC") {
    steps.emplace_back(NfcStep{});
  } else if (type == "BertNormalizer") {
    steps.emplace_back(read_bert_normalizer(view));
  } else if (type == "Sequence" && depth <= kMaxDepth) {
    const JsonView parts = view.at("normalizers");
    for (size_t i = 0; i < parts.array_size(); ++i) read_normalizer(parts.at(i), steps, depth + 1);
  } else {
    refuse(view, "normalizer " + quote(type));
  }
}

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
  if (view.is_null()) refuse(view, "a missing ByteLevel or BertPreTokenizer");
  if (!steps.empty() && std::holds_alternative<ByteLevelStep>(steps.back()))
    refuse(view, "a step after ByteLevel");
  const std::string type = type_of(view);
  if (type == "ByteLevel") {
    steps.emplace_back(read_byte_level(view));
  } else if (type == "Split") {
    steps.emplace_back(read_split(view));
  } else if (type == "Digits") {
    steps.emplace_back(DigitsStep{view.at("individual_digits").boolean()});
  } else if (type == "BertPreTokenizer") {
    steps.emplace_back(BertSplitStep{});
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
        pipeline.model->token_of(out.ids.back()) != nullptr || pipeline.added.find(out.ids.back()) != nullptr,
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

Decoder read_decoder(const JsonView& view) {
  if (view.is_null()) return SpacesDecoder{};
  const std::string type = type_of(view);
  if (type == "ByteLevel") return ByteLevelDecoder{};
  if (type != "WordPiece") refuse(view, "decoder " + quote(type));
  return WordPieceDecoder{view.at("prefix").text(), view.boolean_or("cleanup", true)};
}

// BPE here works on bytes, which ByteLevel hands over; WordPiece on characters.
void check_pre_tokenizer(const JsonView& view, const Pipeline& pipeline) {
  const auto& steps = pipeline.pre_tokenizer;
  const bool bytes = !steps.empty() && std::holds_alternative<ByteLevelStep>(steps.back());
  if (pipeline.model->writes_byte_characters() && !bytes)
    refuse(view, "a pre_tokenizer without ByteLevel at its end");
  if (!pipeline.model->writes_byte_characters() && bytes) refuse(view, "ByteLevel before WordPiece");
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
  read_normalizer(part("normalizer"), pipeline.normalizer);
  pipeline.model = read_model(root.at("model"));
  if (root.has("added_tokens")) pipeline.added = read_added_tokens(root.at("added_tokens"), pipeline);
  read_pre_tokenizer(part("pre_tokenizer"), pipeline.pre_tokenizer);
  check_pre_tokenizer(part("pre_tokenizer"), pipeline);
  read_post_processor(part("post_processor"), pipeline);
  pipeline.decoder = read_decoder(part("decoder"));
  return pipeline;
}

}  // namespace deepspeed::text
