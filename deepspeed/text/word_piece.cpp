#include "deepspeed/text/word_piece.h"

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

WordPieceModel::WordPieceModel(WordPieceOptions options) : options_(std::move(options)) {
  tokens_ = TokenTable(std::exchange(options_.vocabulary, {}), options_.where);
  for (const auto& [token, id] : tokens_.ids()) longest_token_ = std::max(longest_token_, token.size());
  const auto unknown = id_of(options_.unknown_token);
  DS_CHECK(unknown, "{}: model.vocab lacks the unknown token {}", options_.where,
           quote(options_.unknown_token));
  unknown_ = *unknown;
}

std::optional<Model::Symbol> WordPieceModel::longest(std::string_view piece, size_t begin) const {
  const std::string_view rest = piece.substr(begin);
  thread_local std::string candidate;
  candidate = begin > 0 ? options_.continuing_prefix : "";
  const size_t prefix = candidate.size();
  if (prefix >= longest_token_) return std::nullopt;
  candidate += rest.substr(0, longest_token_ - prefix);
  for (size_t width = candidate.size() - prefix; width > 0; --width) {
    if (width < rest.size() && is_continuation(rest[width])) continue;
    const auto found = tokens_.id_of(std::string_view(candidate).substr(0, prefix + width));
    if (found) return Symbol{*found, static_cast<uint32_t>(begin), static_cast<uint32_t>(begin + width)};
  }
  return std::nullopt;
}

void WordPieceModel::tokenize(std::string_view piece, std::vector<Symbol>& out) const {
  const size_t before = out.size();
  const auto letters = static_cast<size_t>(
      std::count_if(piece.begin(), piece.end(), [](char byte) { return !is_continuation(byte); }));
  bool spelt = letters <= options_.longest_word;
  for (size_t at = 0; spelt && at < piece.size();) {
    const auto symbol = longest(piece, at);
    spelt = symbol.has_value();
    if (!spelt) break;
    out.push_back(*symbol);
    at = symbol->end;
  }
  if (spelt) return;
  out.resize(before);
  out.push_back({unknown_, 0, static_cast<uint32_t>(piece.size())});
}

}  // namespace deepspeed::text
