#include "deepspeed/text/rewriting.h"

#include <algorithm>

#include "deepspeed/text/utf8.h"

namespace deepspeed::text {

Rewriting::Rewriting(const Piece& from, PieceStorage& storage)
    : from_(from),
      text_(storage.texts.emplace_back()),
      origins_(from.origin == nullptr ? nullptr : &storage.origins.emplace_back()) {
  text_.reserve(from.text.size());
  if (origins_ != nullptr) origins_->reserve(from.text.size());
}

bool Rewriting::read(uint32_t& code_point) {
  if (at_ == from_.text.size()) return false;
  begin_ = at_;
  code_point = next_code_point(from_.text, at_);
  return true;
}

void Rewriting::write(uint32_t code_point) {
  const size_t before = text_.size();
  append_code_point(text_, code_point);
  if (origins_ != nullptr) origins_->insert(origins_->end(), text_.size() - before, from_.origin[begin_]);
}

void Rewriting::write(std::string_view text, size_t source) {
  text_ += text;
  if (origins_ != nullptr) origins_->insert(origins_->end(), text.size(), from_.origin[source]);
}

void Rewriting::keep(size_t begin, size_t end) {
  text_.append(from_.text, begin, end - begin);
  if (origins_ != nullptr) origins_->insert(origins_->end(), from_.origin + begin, from_.origin + end);
}

Piece Rewriting::result() const {
  return {text_, origins_ == nullptr ? nullptr : origins_->data(), from_.token, from_.at_start};
}

namespace {

// Each new character's origin is that of the character which `change` says it stands for.
std::vector<Span> follow_origins(const Piece& piece, const std::vector<ChangedCharacter>& characters,
                                 size_t skipped) {
  std::vector<Span> origins;
  origins.reserve(piece.text.size());
  size_t at = 0;
  const auto skip = [&] { at += at < piece.text.size() ? utf8_length(piece.text[at]) : 0; };
  for (size_t i = 0; i < skipped; ++i) skip();
  std::string bytes;
  for (const ChangedCharacter& c : characters) {
    Span origin{piece.origin[0].first, piece.origin[0].first};
    if (c.change <= 0) {
      origin = piece.origin[std::min(at, piece.text.size() - 1)];
      for (int i = 0; i <= -c.change; ++i) skip();
    } else if (at > 0) {
      origin = piece.origin[at - 1];
    }
    bytes.clear();
    append_code_point(bytes, c.code_point);
    origins.insert(origins.end(), bytes.size(), origin);
  }
  return origins;
}

}  // namespace

Piece transformed(const Piece& piece, const std::vector<ChangedCharacter>& characters, size_t skipped,
                  PieceStorage& storage) {
  std::string& bytes = storage.texts.emplace_back();
  bytes.reserve(piece.text.size());
  for (const ChangedCharacter& c : characters) append_code_point(bytes, c.code_point);
  Piece out{bytes, nullptr, piece.token, piece.at_start};
  if (piece.origin != nullptr && !piece.text.empty())
    out.origin = storage.origins.emplace_back(follow_origins(piece, characters, skipped)).data();
  return out;
}

}  // namespace deepspeed::text
