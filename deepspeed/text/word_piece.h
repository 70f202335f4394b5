// WordPiece (Wu et al. 2016, "Google's Neural Machine Translation System"), as tokenizers' model of that name
// cuts a word: greedily, the longest token first.
#pragma once

#include "deepspeed/text/model.h"

namespace deepspeed::text {

struct WordPieceOptions {
  Vocabulary vocabulary;  // ids unique
  std::string unknown_token = "[UNK]";
  std::string continuing_prefix = "##";  // of tokens within a word
  size_t longest_word = 100;             // in code points; a longer one is unknown
  std::string where;                     // the file, for errors
};

class WordPieceModel : public Model {
 public:
  /// An Error when the vocabulary lacks the unknown token, or two tokens share an id.
  explicit WordPieceModel(WordPieceOptions options);

  /// A word that the vocabulary cannot spell is one unknown token.
  void tokenize(std::string_view piece, std::vector<Symbol>& out) const override;
  bool writes_byte_characters() const override { return false; }
  std::optional<int32_t> id_of(std::string_view token) const override { return tokens_.id_of(token); }
  const std::string* token_of(int32_t id) const override { return tokens_.token_of(id); }
  int32_t size() const override { return tokens_.size(); }
  int32_t max_id() const override { return tokens_.max_id(); }

 private:
  /// The longest token at the head of what is left of the piece from `begin`, or nothing.
  std::optional<Symbol> longest(std::string_view piece, size_t begin) const;

  WordPieceOptions options_;  // without vocabulary
  TokenTable tokens_;
  int32_t unknown_ = -1;
  size_t longest_token_ = 0;  // in bytes, prefixes included
};

}  // namespace deepspeed::text
