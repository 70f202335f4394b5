#include "deepspeed/text/tokenizer.h"

#include <algorithm>
#include <limits>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/text/byte_alphabet.h"
#include "deepspeed/text/nfc.h"
#include "deepspeed/text/pipeline.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

constexpr size_t kMaxFileBytes = size_t{256} << 20;
constexpr size_t kMaxCachedPieceBytes = 256;
constexpr size_t kMaxCachedPieces = size_t{1} << 20;
constexpr uint32_t kByteCharacterOfSpace = 0x120;

void check_text(std::string_view utf8) {
  DS_CHECK(utf8.size() <= std::numeric_limits<int32_t>::max(),
           "a text of {} bytes is more than one call takes (2 GiB); split it", utf8.size());
  check_utf8(utf8, "text to tokenize");
}

std::vector<Span> origins_of(std::string_view utf8) {
  std::vector<Span> origins(utf8.size());
  uint32_t index = 0;
  for (size_t at = 0; at < utf8.size(); ++index) {
    const size_t end = at + utf8_length(utf8[at]);
    for (; at < end; ++at) origins[at] = {index, index + 1};
  }
  return origins;
}

// Hands added tokens and the pieces that BPE works on to `sink`, in order.
void cut(const Pipeline& pipeline, const Piece& whole, PieceStorage& storage, const PieceSink& sink) {
  pipeline.added.before_normalization().cut(whole, [&](const Piece& part) {
    if (part.token >= 0) return sink(part);
    const Piece normalized = normalize(pipeline.normalizer, part, storage);
    pipeline.added.after_normalization().cut(normalized, [&](const Piece& inner) {
      if (inner.token >= 0) return sink(inner);
      pre_tokenize(pipeline.pre_tokenizer, inner, storage, sink);
    });
  });
}

// The symbols of pieces, kept for pieces that come again in the same text.
class PieceCache {
 public:
  explicit PieceCache(const Model& model) : model_(model) {}

  /// Valid until the next call.
  std::span<const Model::Symbol> symbols_of(std::string_view piece) {
    if (const auto known = places_.find(piece); known != places_.end()) {
      return {symbols_.data() + known->second.first, known->second.second};
    }
    if (piece.size() > kMaxCachedPieceBytes || places_.size() >= kMaxCachedPieces) {
      uncached_.clear();
      model_.tokenize(piece, uncached_);
      return uncached_;
    }
    const size_t begin = symbols_.size();
    model_.tokenize(piece, symbols_);
    places_.emplace(piece, std::pair(begin, symbols_.size() - begin));
    return {symbols_.data() + begin, symbols_.size() - begin};
  }

 private:
  const Model& model_;
  std::unordered_map<std::string_view, std::pair<size_t, size_t>> places_;
  std::vector<Model::Symbol> symbols_, uncached_;
};

// Symbols' widths may count byte characters, origins are kept by byte: `byte_of` is scratch for the way from
// one to the other.
void append_symbols(const Model& model, const Piece& piece, std::span<const Model::Symbol> symbols,
                    std::vector<uint32_t>& byte_of, Encoding& out) {
  byte_of.clear();
  for (uint32_t byte = 0; byte < piece.text.size(); ++byte) {
    const size_t width =
        model.writes_byte_characters() ? byte_character(static_cast<uint8_t>(piece.text[byte])).size() : 1;
    byte_of.insert(byte_of.end(), width, byte);
  }
  size_t begin = 0;
  for (const Model::Symbol& symbol : symbols) {
    const size_t end = begin + symbol.width;
    out.ids.push_back(symbol.id);
    out.tokens.push_back(*model.token_of(symbol.id));
    out.offsets.emplace_back(piece.origin[byte_of[begin]].first, piece.origin[byte_of[end - 1]].second);
    begin = end;
  }
}

void append(Encoding& to, const Encoding& from) {
  to.ids.insert(to.ids.end(), from.ids.begin(), from.ids.end());
  to.tokens.insert(to.tokens.end(), from.tokens.begin(), from.tokens.end());
  to.offsets.insert(to.offsets.end(), from.offsets.begin(), from.offsets.end());
}

bool is_space(uint32_t c) { return c == kByteCharacterOfSpace || is_white_space(c); }

void trim_offsets(const TrimOffsetsStep& step, Encoding& encoding) {
  for (size_t i = 0; i < encoding.tokens.size(); ++i) {
    const std::string& token = encoding.tokens[i];
    auto& [begin, end] = encoding.offsets[i];
    size_t leading = 0, trailing = 0;
    for (size_t at = 0; at < token.size() && is_space(next_code_point(token, at));) ++leading;
    for (size_t at = token.size(); at > 0 && is_space(previous_code_point(token, at));) ++trailing;
    if ((i == 0 || begin == 0) && step.add_prefix_space && leading == 1) leading = 0;
    begin = std::min(begin + leading, end);
    if (trailing > 0 && end >= trailing) end = std::max(end - trailing, begin);
  }
}

std::vector<Encoding> apply_template(const TemplateStep& step, const Encoding& text,
                                     bool add_special_tokens) {
  std::vector<Encoding> out;
  for (const TemplateStep::Part& part : step.parts) {
    if (part.is_sequence) {
      out.push_back(text);
    } else if (add_special_tokens) {
      out.push_back({part.ids, part.tokens, std::vector<std::pair<size_t, size_t>>(part.ids.size())});
    }
  }
  return out;
}

Encoding post_process(const Pipeline& pipeline, Encoding text, bool add_special_tokens) {
  std::vector<Encoding> parts;
  parts.push_back(std::move(text));
  for (const PostProcessorStep& step : pipeline.post_processor) {
    if (const auto* trim = std::get_if<TrimOffsetsStep>(&step)) {
      for (Encoding& part : parts) trim_offsets(*trim, part);
    } else {
      parts = apply_template(std::get<TemplateStep>(step), parts.front(), add_special_tokens);
    }
  }
  Encoding out;
  for (const Encoding& part : parts) append(out, part);
  return out;
}

// tokenizers' WordPiece::cleanup, which it applies to one token at a time.
std::string cleaned_up(std::string token) {
  constexpr std::pair<std::string_view, std::string_view> kReplacements[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kReplacements)
    for (size_t at = token.find(from); at != std::string::npos; at = token.find(from, at + to.size()))
      token.replace(at, from.size(), to);
  return token;
}

void append_decoded(const Decoder& decoder, const std::string& token, bool first, std::string& out) {
  if (std::holds_alternative<ByteLevelDecoder>(decoder)) {
    append_token_bytes(token, out);
  } else if (const auto* word_piece = std::get_if<WordPieceDecoder>(&decoder)) {
    std::string text = token;
    if (!first)
      text = text.starts_with(word_piece->prefix) ? text.substr(word_piece->prefix.size()) : " " + text;
    out += word_piece->cleanup ? cleaned_up(std::move(text)) : text;
  } else {
    if (!first) out += ' ';
    out += token;
  }
}

}  // namespace

Piece normalize(const std::vector<NormalizerStep>& steps, const Piece& piece, PieceStorage& storage) {
  Piece out = piece;
  for (const NormalizerStep& step : steps) {
    const auto* bert = std::get_if<BertNormalizerStep>(&step);
    out = bert != nullptr ? normalize_bert(*bert, out, storage) : normalize_nfc(out, storage);
  }
  return out;
}

Tokenizer::Tokenizer(std::shared_ptr<const Pipeline> pipeline) : pipeline_(std::move(pipeline)) {}

Tokenizer Tokenizer::from_file(const std::filesystem::path& tokenizer_json) {
  return from_json(base::read_text_file(tokenizer_json, kMaxFileBytes), tokenizer_json.string());
}

Tokenizer Tokenizer::from_json(std::string_view json, const std::string& name) {
  return Tokenizer(std::make_shared<const Pipeline>(read_tokenizer_json(json, name)));
}

Encoding Tokenizer::encode(std::string_view utf8, bool add_special_tokens) const {
  check_text(utf8);
  const std::vector<Span> origins = origins_of(utf8);
  PieceStorage storage;
  Encoding out;
  PieceCache cache(*pipeline_->model);
  std::vector<uint32_t> byte_of;
  cut(*pipeline_, Piece{utf8, origins.data(), -1}, storage, [&](const Piece& piece) {
    if (piece.token >= 0) {
      out.ids.push_back(piece.token);
      out.tokens.emplace_back(piece.text);
      out.offsets.emplace_back(piece.origin[0].first, piece.origin[piece.text.size() - 1].second);
      return;
    }
    append_symbols(*pipeline_->model, piece, cache.symbols_of(piece.text), byte_of, out);
  });
  return post_process(*pipeline_, std::move(out), add_special_tokens);
}

std::vector<int32_t> Tokenizer::encode_ids(std::string_view utf8) const {
  check_text(utf8);
  PieceStorage storage;
  PieceCache cache(*pipeline_->model);
  std::vector<int32_t> ids;
  cut(*pipeline_, Piece{utf8, nullptr, -1}, storage, [&](const Piece& piece) {
    if (piece.token >= 0) {
      ids.push_back(piece.token);
    } else {
      for (const auto& symbol : cache.symbols_of(piece.text)) ids.push_back(symbol.id);
    }
  });
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  std::string out;
  bool first = true;
  for (const int32_t id : ids) {
    const AddedToken* added = pipeline_->added.find(id);
    const std::string* token = added != nullptr ? &added->normalized_content : pipeline_->model->token_of(id);
    if (token == nullptr || (skip_special_tokens && pipeline_->added.is_special(*token))) continue;
    append_decoded(pipeline_->decoder, *token, first, out);
    first = false;
  }
  return utf8_lossy(std::move(out));
}

int32_t Tokenizer::vocab_size() const {
  auto count = static_cast<int32_t>(pipeline_->model->vocabulary().size());
  for (const auto& [id, token] : pipeline_->added.by_id()) {
    if (!pipeline_->model->id_of(token.content)) ++count;
  }
  return count;
}

int32_t Tokenizer::max_id() const {
  int32_t most = -1;
  for (const auto& [token, id] : pipeline_->model->vocabulary()) most = std::max(most, id);
  for (const auto& [id, token] : pipeline_->added.by_id()) most = std::max(most, id);
  return most;
}

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  if (const AddedToken* added = pipeline_->added.find(token)) return added->id;
  return pipeline_->model->id_of(token);
}

std::string Tokenizer::id_to_token(int32_t id) const {
  if (const AddedToken* added = pipeline_->added.find(id)) return added->normalized_content;
  const std::string* token = pipeline_->model->token_of(id);
  DS_CHECK(token != nullptr, "{}: no token has id {}", pipeline_->name, id);
  return *token;
}

}  // namespace deepspeed::text
