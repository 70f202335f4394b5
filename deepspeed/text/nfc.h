// Unicode normalization forms, as tokenizers 0.23.3 does them (its tables are Unicode 9's).
#pragma once

#include "deepspeed/text/piece.h"

namespace deepspeed::text {

enum class NormalizationForm { kC, kD, kKC, kKD };

/// `piece` in that form; each byte keeps the origin that tokenizers gives it.
Piece normalize_form(NormalizationForm form, const Piece& piece, PieceStorage& storage);

}  // namespace deepspeed::text
