// Normalizers: what becomes of text before it is cut into pieces.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "deepspeed/text/bert_normalizer.h"
#include "deepspeed/text/chars_map.h"
#include "deepspeed/text/matcher.h"
#include "deepspeed/text/nfc.h"
#include "deepspeed/text/piece.h"

namespace deepspeed::text {

/// NFC, NFD, NFKC, NFKD.
struct FormStep {
  NormalizationForm form;
};
struct LowercaseStep {};
/// StripAccents: leaves marks out; decomposing comes before it.
struct StripMarksStep {};
/// Strip: white space at the ends.
struct StripStep {
  bool left, right;
};
struct ReplaceStep {
  Matcher matcher;
  std::string content;
};
/// Before anything but an empty text.
struct PrependStep {
  std::string content;
};
struct CharsMapStep {
  std::shared_ptr<const CharsMap> map;
};
/// Nmt: control characters go, exotic spaces become one.
struct NmtStep {};

using NormalizerStep = std::variant<FormStep, LowercaseStep, StripMarksStep, StripStep, ReplaceStep,
                                    PrependStep, CharsMapStep, NmtStep, BertNormalizerStep>;

/// `piece` through all steps. Text made on the way lives in `storage`.
Piece normalize(const std::vector<NormalizerStep>& steps, const Piece& piece, PieceStorage& storage);
/// The matches of `matcher` replaced, as the normalizer Replace and the pre-tokenizer Metaspace do.
Piece replace_matches(const Matcher& matcher, std::string_view content, const Piece& piece,
                      PieceStorage& storage);
/// `content` before the piece, whose first character's origin it shares; an empty piece stays empty.
Piece prepend(std::string_view content, const Piece& piece, PieceStorage& storage);

}  // namespace deepspeed::text
