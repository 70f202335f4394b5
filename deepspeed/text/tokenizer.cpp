#include "deepspeed/text/tokenizer.h"

#include <algorithm>
#include <limits>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/text/byte_alphabet.h"
#include "deepspeed/text/pipeline.h"
#include "deepspeed/text/utf8.h"
#include "deepspeed/text/word_piece.h"

namespace deepspeed::text {
namespace {

constexpr size_t kMaxFileBytes = size_t{256} << 20;
constexpr size_t kMaxCachedPieceBytes = 256;
constexpr size_t kMaxCachedPieces = size_t{1} << 20;

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

// Hands added tokens and the pieces that the model works on to `sink`, in order.
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

// Symbols may count byte characters, origins are kept by byte: `byte_of` is scratch for the way from one to
// the other.
void append_symbols(const Model& model, const Piece& piece, std::span<const Model::Symbol> symbols,
                    std::vector<uint32_t>& byte_of, Encoding& out) {
  if (model.writes_byte_characters()) {
    byte_of.clear();
    for (uint32_t byte = 0; byte < piece.text.size(); ++byte)
      byte_of.insert(byte_of.end(), byte_character(static_cast<uint8_t>(piece.text[byte])).size(), byte);
  }
  for (const Model::Symbol& symbol : symbols) {
    const bool maps = model.writes_byte_characters();
    const uint32_t first = maps ? byte_of[symbol.begin] : symbol.begin;
    const uint32_t last = maps ? byte_of[symbol.end - 1] : symbol.end - 1;
    out.ids.push_back(symbol.id);
    if (symbol.as_written)
      out.tokens.emplace_back(piece.text.substr(first, last + 1 - first));
    else
      out.tokens.push_back(*model.token_of(symbol.id));
    out.offsets.emplace_back(piece.origin[first].first, piece.origin[last].second);
  }
}

// Whether a step asks for places in the input that slicing alone does not tell.
bool needs_origins(const Pipeline& pipeline) {
  return !pipeline.normalizer.empty() &&
         std::any_of(pipeline.pre_tokenizer.begin(), pipeline.pre_tokenizer.end(), [](const auto& step) {
           const auto* metaspace = std::get_if<MetaspaceStep>(&step);
           return metaspace != nullptr && metaspace->prepend == PrependScheme::kFirst;
         });
}

}  // namespace

const std::string* Pipeline::decoded_token(int32_t id, bool skip_special_tokens) const {
  const AddedToken* token = added.find(id);
  const std::string* text = token != nullptr ? &token->normalized_content : model->token_of(id);
  return text == nullptr || (skip_special_tokens && added.is_special(*text)) ? nullptr : text;
}

Tokenizer::Tokenizer(std::shared_ptr<const Pipeline> pipeline) : pipeline_(std::move(pipeline)) {}

Tokenizer Tokenizer::from_file(const std::filesystem::path& tokenizer_json) {
  return from_json(base::read_text_file(tokenizer_json, kMaxFileBytes), tokenizer_json.string());
}

Tokenizer Tokenizer::from_json(std::string_view json, const std::string& name) {
  return from_pipeline(read_tokenizer_json(json, name));
}

Tokenizer Tokenizer::from_pipeline(Pipeline pipeline) {
  cut_before_markers(pipeline);
  return Tokenizer(std::make_shared<const Pipeline>(std::move(pipeline)));
}

Encoding Tokenizer::encode_text(std::string_view utf8, int32_t type_id) const {
  check_text(utf8);
  const std::vector<Span> origins = origins_of(utf8);
  PieceStorage storage;
  Encoding out;
  PieceCache cache(*pipeline_->model);
  std::vector<uint32_t> byte_of;
  int32_t word = -1;  // the piece that the newest tokens are of
  cut(*pipeline_, Piece{utf8, origins.data(), -1, true}, storage, [&](const Piece& piece) {
    out.words.resize(out.size(), word++);
    if (piece.token >= 0) {
      out.ids.push_back(piece.token);
      out.tokens.emplace_back(piece.text);
      out.offsets.emplace_back(piece.origin[0].first, piece.origin[piece.text.size() - 1].second);
      return;
    }
    append_symbols(*pipeline_->model, piece, cache.symbols_of(piece.text), byte_of, out);
  });
  out.words.resize(out.size(), word);
  out.sequences.assign(out.size(), type_id);
  out.type_ids.assign(out.size(), type_id);
  out.special_tokens_mask.assign(out.size(), 0);
  out.attention_mask.assign(out.size(), 1);
  return out;
}

Encoding Tokenizer::encode(std::string_view utf8, bool add_special_tokens) const {
  return encode(utf8, EncodeOptions{add_special_tokens, {}, {}});
}

Encoding Tokenizer::encode(std::string_view utf8, const EncodeOptions& options) const {
  std::vector<Encoding> texts;
  texts.push_back(encode_text(utf8, 0));
  if (options.truncation) {
    const size_t added = options.add_special_tokens ? added_tokens(pipeline_->post_processor, false) : 0;
    truncate(texts[0], nullptr, *options.truncation, added);
  }
  Encoding out = post_process(pipeline_->post_processor, std::move(texts), options.add_special_tokens);
  if (options.padding) pad({&out, 1}, *options.padding);
  return out;
}

Encoding Tokenizer::encode_pair(std::string_view first, std::string_view second,
                                const EncodeOptions& options) const {
  std::vector<Encoding> texts;
  texts.push_back(encode_text(first, 0));
  texts.push_back(encode_text(second, 1));
  if (options.truncation) {
    const size_t added = options.add_special_tokens ? added_tokens(pipeline_->post_processor, true) : 0;
    truncate(texts[0], &texts[1], *options.truncation, added);
  }
  Encoding out = post_process(pipeline_->post_processor, std::move(texts), options.add_special_tokens);
  if (options.padding) pad({&out, 1}, *options.padding);
  return out;
}

std::vector<Encoding> Tokenizer::encode_batch(std::span<const std::string> texts,
                                              const EncodeOptions& options) const {
  std::vector<Encoding> out;
  for (const std::string& text : texts)
    out.push_back(encode(text, EncodeOptions{options.add_special_tokens, options.truncation, {}}));
  if (options.padding) pad(out, *options.padding);
  return out;
}

std::vector<int32_t> Tokenizer::encode_ids(std::string_view utf8) const {
  check_text(utf8);
  const std::vector<Span> origins = needs_origins(*pipeline_) ? origins_of(utf8) : std::vector<Span>{};
  PieceStorage storage;
  PieceCache cache(*pipeline_->model);
  std::vector<int32_t> ids;
  cut(*pipeline_, Piece{utf8, origins.empty() ? nullptr : origins.data(), -1, true}, storage,
      [&](const Piece& piece) {
        if (piece.token >= 0) {
          ids.push_back(piece.token);
        } else {
          for (const auto& symbol : cache.symbols_of(piece.text)) ids.push_back(symbol.id);
        }
      });
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  std::vector<std::string> tokens;
  for (const int32_t id : ids) {
    const std::string* token = pipeline_->decoded_token(id, skip_special_tokens);
    if (token != nullptr) tokens.push_back(*token);
  }
  return decode_tokens(tokens);
}

std::string Tokenizer::decode_tokens(const std::vector<std::string>& tokens) const {
  const bool bytes =
      pipeline_->decoder.size() == 1 && std::holds_alternative<ByteLevelDecoder>(pipeline_->decoder[0]);
  if (!bytes) return utf8_lossy(text::decode_tokens(pipeline_->decoder, tokens));
  std::string out;
  for (const std::string& token : tokens) append_token_bytes(token, out);
  return utf8_lossy(std::move(out));
}

bool Tokenizer::marks_continuations() const {
  return dynamic_cast<const WordPieceModel*>(pipeline_->model.get()) != nullptr;
}

const std::optional<Truncation>& Tokenizer::truncation() const { return pipeline_->truncation; }
const std::optional<Padding>& Tokenizer::padding() const { return pipeline_->padding; }

int32_t Tokenizer::vocab_size() const {
  int32_t count = pipeline_->model->size();
  for (const auto& [id, token] : pipeline_->added.by_id()) {
    if (!pipeline_->model->id_of(token.content)) ++count;
  }
  return count;
}

int32_t Tokenizer::max_id() const {
  int32_t most = pipeline_->model->max_id();
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

bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* added = pipeline_->added.find(id);
  return added != nullptr && added->special;
}

}  // namespace deepspeed::text
