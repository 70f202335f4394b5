// Unicode normalization forms C and D, as tokenizers 0.23.3 does it (its tables are Unicode 9's).
#pragma once

#include <string>
#include <string_view>

#include "deepspeed/text/piece.h"

namespace deepspeed::text {

/// `piece` in form C; each byte keeps the origin that tokenizers gives it.
Piece normalize_nfc(const Piece& piece, PieceStorage& storage);
/// The same of form D.
Piece normalize_nfd(const Piece& piece, PieceStorage& storage);
std::string normalize_nfc(std::string_view utf8);

}  // namespace deepspeed::text
