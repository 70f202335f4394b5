#include "deepspeed/text/word_piece.h"

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

WordPieceModel::WordPieceModel(WordPieceOptions options) : options_(std::move(options)) {
  for (const auto& [token, id] : options_.vocabulary) {
    const auto [known, added] = tokens_.emplace(id, &token);
    DS_CHECK(added, "{}: model.vocab gives id {} to both {} and {}", options_.where, id,
             quote(*known->second), quote(token));
    longest_token_ = std::max(longest_token_, token.size());
  }
  const auto unknown = id_of(options_.unknown_token);
  DS_CHECK(unknown, "{}: model.vocab lacks the unknown token {}", options_.where,
           quote(options_.unknown_token));
  unknown_ = *unknown;
}

std::optional<Model::Symbol> WordPieceModel::longest(std::string_view rest, bool within_word) const {
  std::string candidate = within_word ? options_.continuing_prefix : "";
  const size_t prefix = candidate.size();
  if (prefix >= longest_token_) return std::nullopt;
  candidate += rest.substr(0, longest_token_ - prefix);
  for (size_t width = candidate.size() - prefix; width > 0; --width) {
    if (width < rest.size() && is_continuation(rest[width])) continue;
    const auto found = options_.vocabulary.find(std::string_view(candidate).substr(0, prefix + width));
    if (found != options_.vocabulary.end()) return Symbol{found->second, static_cast<uint32_t>(width)};
  }
  return std::nullopt;
}

void WordPieceModel::tokenize(std::string_view piece, std::vector<Symbol>& out) const {
  const size_t before = out.size();
  const auto letters = static_cast<size_t>(
      std::count_if(piece.begin(), piece.end(), [](char byte) { return !is_continuation(byte); }));
  bool spelt = letters <= options_.longest_word;
  for (size_t at = 0; spelt && at < piece.size();) {
    const auto symbol = longest(piece.substr(at), at > 0);
    spelt = symbol.has_value();
    if (!spelt) break;
    out.push_back(*symbol);
    at += symbol->width;
  }
  if (spelt) return;
  out.resize(before);
  out.push_back({unknown_, static_cast<uint32_t>(piece.size())});
}

std::optional<int32_t> WordPieceModel::id_of(std::string_view token) const {
  const auto found = options_.vocabulary.find(token);
  return found == options_.vocabulary.end() ? std::nullopt : std::optional(found->second);
}

const std::string* WordPieceModel::token_of(int32_t id) const {
  const auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : found->second;
}

}  // namespace deepspeed::text
