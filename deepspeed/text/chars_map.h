// The character map that SentencePiece compiles (`precompiled_charsmap`), as tokenizers' Precompiled applies
// it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/text/piece.h"

namespace deepspeed::text {

class CharsMap {
 public:
  /// `bytes`: a little-endian length, a double-array trie (Yata et al. 2007, darts-clone) of that many bytes,
  /// and replacement texts with a zero byte behind each. An Error naming `where` when they are not that.
  CharsMap(std::string_view bytes, const std::string& where);

  /// Every grapheme cluster below six bytes, and every character of the others, becomes what the map has for
  /// its shortest prefix in it.
  Piece normalize(const Piece& piece, PieceStorage& storage) const;

 private:
  std::optional<std::string_view> find(std::string_view text) const;
  uint32_t unit(size_t at) const { return at < units_.size() ? units_[at] : 0; }

  std::vector<uint32_t> units_;
  std::string texts_;
};

/// Base64 of RFC 4648; an Error naming `where`.
std::string decode_base64(std::string_view text, const std::string& where);

}  // namespace deepspeed::text
