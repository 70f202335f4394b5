// BertNormalizer and BertPreTokenizer, as tokenizers has them.
#pragma once

#include "deepspeed/text/piece.h"

namespace deepspeed::text {

/// What BertNormalizer does, in this order.
struct BertNormalizerStep {
  bool clean_text = true;            // control characters go, every kind of space becomes one
  bool handle_chinese_chars = true;  // a space on both sides of each ideograph
  bool strip_accents = true;         // canonical decomposition without its nonspacing marks
  bool lowercase = true;
};

/// BertPreTokenizer: cuts at spaces, which go, and around each punctuation character.
struct BertSplitStep {};

Piece normalize_bert(const BertNormalizerStep& step, const Piece& piece, PieceStorage& storage);
void split_bert(const Piece& piece, const PieceSink& sink);
/// Each character's lower case; also the Lowercase normalizer.
Piece in_lower_case(const Piece& piece, PieceStorage& storage);
/// What BertPreTokenizer and Punctuation cut around.
bool is_punctuation(uint32_t code_point);

}  // namespace deepspeed::text
