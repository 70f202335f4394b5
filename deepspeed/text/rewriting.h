// New text made of a piece, whose bytes keep the places in the input that tokenizers gives them.
#pragma once

#include "deepspeed/text/piece.h"

namespace deepspeed::text {

/// Reads a piece character by character; what is written has the origin of the character that was read last.
class Rewriting {
 public:
  Rewriting(const Piece& from, PieceStorage& storage);

  bool read(uint32_t& code_point);
  void write(uint32_t code_point);
  /// Text that has the origin of the piece's byte `source`.
  void write(std::string_view text, size_t source);
  /// The piece's bytes [begin, end) as they are.
  void keep(size_t begin, size_t end);
  Piece result() const;

 private:
  const Piece& from_;
  std::string& text_;
  std::vector<Span>* origins_;
  size_t begin_ = 0, at_ = 0;
};

/// One character of a result. `change` counts characters of the text before: 0 takes the place of one, 1 is
/// an extra one, -n takes the place of n + 1.
struct ChangedCharacter {
  uint32_t code_point;
  int change;
};

/// The characters as a new piece; the first `skipped` characters of `piece` are gone.
Piece transformed(const Piece& piece, const std::vector<ChangedCharacter>& characters, size_t skipped,
                  PieceStorage& storage);

}  // namespace deepspeed::text
