#include "deepspeed/text/normalizer.h"

#include "deepspeed/text/code_point_set.h"
#include "deepspeed/text/normalizer_tables.h"
#include "deepspeed/text/rewriting.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

Piece run(const FormStep& step, const Piece& piece, PieceStorage& storage) {
  return normalize_form(step.form, piece, storage);
}

Piece run(const LowercaseStep&, const Piece& piece, PieceStorage& storage) {
  return in_lower_case(piece, storage);
}

Piece run(const StripMarksStep&, const Piece& piece, PieceStorage& storage) {
  static const CodePointSet marks(kMarkRanges, kMarkRangeCount);
  Rewriting out(piece, storage);
  for (uint32_t c = 0; out.read(c);)
    if (c < 0x300 || !marks.contains(c)) out.write(c);
  return out.result();
}

Piece run(const StripStep& step, const Piece& piece, PieceStorage&) {
  size_t begin = 0, end = piece.text.size();
  for (size_t at = 0; step.left && at < end && is_white_space(next_code_point(piece.text, at));) begin = at;
  for (size_t at = end; step.right && at > begin && is_white_space(previous_code_point(piece.text, at));)
    end = at;
  Piece out = piece.slice(begin, end);
  out.at_start = piece.at_start;
  return out;
}

Piece run(const ReplaceStep& step, const Piece& piece, PieceStorage& storage) {
  return replace_matches(step.matcher, step.content, piece, storage);
}

Piece run(const PrependStep& step, const Piece& piece, PieceStorage& storage) {
  return prepend(step.content, piece, storage);
}

Piece run(const CharsMapStep& step, const Piece& piece, PieceStorage& storage) {
  return step.map->normalize(piece, storage);
}

Piece run(const NmtStep&, const Piece& piece, PieceStorage& storage) {
  static const CodePointSet removed(kNmtRemovedRanges, kNmtRemovedRangeCount);
  static const CodePointSet spaces(kNmtSpaceRanges, kNmtSpaceRangeCount);
  Rewriting out(piece, storage);
  for (uint32_t c = 0; out.read(c);)
    if (!removed.contains(c)) out.write(spaces.contains(c) ? ' ' : c);
  return out.result();
}

Piece run(const BertNormalizerStep& step, const Piece& piece, PieceStorage& storage) {
  return normalize_bert(step, piece, storage);
}

}  // namespace

Piece replace_matches(const Matcher& matcher, std::string_view content, const Piece& piece,
                      PieceStorage& storage) {
  std::optional<Rewriting> out;
  size_t kept = 0;
  matcher.cut(piece.text, [&](size_t begin, size_t end, bool is_match) {
    if (!is_match) return;
    if (!out) out.emplace(piece, storage);
    out->keep(kept, begin);
    out->write(content, end - 1);
    kept = end;
  });
  if (!out) return piece;
  out->keep(kept, piece.text.size());
  return out->result();
}

Piece prepend(std::string_view content, const Piece& piece, PieceStorage& storage) {
  if (piece.text.empty()) return piece;
  Rewriting out(piece, storage);
  out.write(content, 0);
  out.keep(0, piece.text.size());
  return out.result();
}

Piece normalize(const std::vector<NormalizerStep>& steps, const Piece& piece, PieceStorage& storage) {
  Piece out = piece;
  for (const NormalizerStep& step : steps)
    out = std::visit([&](const auto& s) { return run(s, out, storage); }, step);
  return out;
}

}  // namespace deepspeed::text
