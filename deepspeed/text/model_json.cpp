#include "deepspeed/text/bpe_model.h"
#include "deepspeed/text/tokenizer_json.h"
#include "deepspeed/text/unigram.h"
#include "deepspeed/text/word_piece.h"

namespace deepspeed::text {
namespace {

std::string file_of(const JsonView& view) { return view.where().substr(0, view.where().rfind(": ")); }

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

std::unique_ptr<const Model> read_bpe(const JsonView& view, bool byte_level) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (view.has(key) && !view.at(key).text().empty()) refuse(view.at(key), "any value but null");
  }
  if (view.has("dropout") && view.at("dropout").value() != 0.0)
    refuse(view.at("dropout"), "dropout of merges");
  BpeOptions options;
  options.where = file_of(view);
  options.byte_level = byte_level;
  options.byte_fallback = view.boolean_or("byte_fallback", false);
  if (byte_level && options.byte_fallback) refuse(view.at("byte_fallback"), "byte_fallback behind ByteLevel");
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
  options.where = file_of(view);
  options.vocabulary = read_vocabulary(view.at("vocab"));
  if (view.has("unk_token")) options.unknown_token = view.at("unk_token").text();
  if (view.has("continuing_subword_prefix"))
    options.continuing_prefix = view.at("continuing_subword_prefix").text();
  if (view.has("max_input_chars_per_word"))
    options.longest_word = static_cast<size_t>(view.at("max_input_chars_per_word").id());
  return std::make_unique<WordPieceModel>(std::move(options));
}

std::unique_ptr<const Model> read_unigram(const JsonView& view) {
  UnigramOptions options;
  options.where = file_of(view);
  options.byte_fallback = view.boolean_or("byte_fallback", false);
  if (view.has("unk_id")) options.unknown_id = view.at("unk_id").id();
  const JsonView vocabulary = view.at("vocab");
  options.vocabulary.reserve(vocabulary.array_size());
  for (size_t i = 0; i < vocabulary.array_size(); ++i) {
    const nlohmann::json& entry = vocabulary.value()[i];
    DS_CHECK(entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_number(),
             "{} must hold a token and its score", vocabulary.at(i).where());
    options.vocabulary.emplace_back(entry[0].get<std::string>(), entry[1].get<double>());
  }
  return std::make_unique<UnigramModel>(std::move(options));
}

// Older files leave the type out; only WordPiece has the length of the longest word, only Unigram an id.
std::string guess_type(const JsonView& view) {
  if (view.has("type")) return type_of(view);
  return view.has("max_input_chars_per_word") ? "WordPiece" : view.has("unk_id") ? "Unigram" : "BPE";
}

}  // namespace

std::unique_ptr<const Model> read_model(const JsonView& view, bool byte_level) {
  const std::string type = guess_type(view);
  if (type == "BPE") return read_bpe(view, byte_level);
  if (type == "WordPiece") return read_word_piece(view);
  if (type == "Unigram") return read_unigram(view);
  refuse(view, "model type " + quote(type));
}

}  // namespace deepspeed::text
