// Tokens that are found in the text before anything else happens to it (added_tokens of tokenizer.json).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "deepspeed/text/model.h"
#include "deepspeed/text/piece.h"

namespace deepspeed::text {

struct AddedToken {
  std::string content;
  std::string normalized_content;  // what the normalizer makes of it; equal to content unless `normalized`
  bool single_word = false;
  bool left_strip = false;
  bool right_strip = false;
  bool normalized = true;  // looked for after normalization rather than before
  bool special = false;
  int32_t id = -1;
};

/// Finds the leftmost, then longest of a set of added tokens.
class AddedTokenFinder {
 public:
  /// Keeps pointers to `tokens`. An Error when two of them look alike.
  AddedTokenFinder(std::vector<const AddedToken*> tokens, const std::string& where);
  AddedTokenFinder() = default;
  /// Cuts the piece into added tokens and the text between them.
  void cut(const Piece& piece, const PieceSink& sink) const;

 private:
  const AddedToken* match_at(std::string_view text, size_t at) const;
  std::array<std::vector<const AddedToken*>, 256> by_first_byte_;  // longest first
  bool empty_ = true;
};

class AddedTokens {
 public:
  AddedTokens() = default;
  AddedTokens(AddedTokens&&) = default;
  AddedTokens& operator=(AddedTokens&&) = default;
  /// Gives each token the id that `model` has for it, or the next free one, as tokenizers does; a token given
  /// twice keeps its last flags. `tokens` come in file order with the file's ids, which are only compared
  /// (and warned about).
  AddedTokens(std::vector<AddedToken> tokens, const Model& model, const std::string& where);

  /// For tokens to be found before (`normalized` false) and after normalization.
  const AddedTokenFinder& before_normalization() const { return before_; }
  const AddedTokenFinder& after_normalization() const { return after_; }
  const AddedToken* find(std::string_view content) const;
  const AddedToken* find(int32_t id) const;
  bool is_special(std::string_view content) const { return special_.contains(std::string(content)); }
  const std::unordered_map<int32_t, AddedToken>& by_id() const { return by_id_; }

 private:
  std::unordered_map<int32_t, AddedToken> by_id_;
  std::unordered_map<std::string, int32_t, TransparentHash, std::equal_to<>> ids_;
  std::unordered_set<std::string> special_;
  AddedTokenFinder before_, after_;
};

}  // namespace deepspeed::text
