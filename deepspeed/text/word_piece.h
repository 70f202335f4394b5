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
  std::optional<int32_t> id_of(std::string_view token) const override;
  const std::string* token_of(int32_t id) const override;
  const Vocabulary& vocabulary() const override { return options_.vocabulary; }

 private:
  /// The longest token at the head of `rest`, or nothing.
  std::optional<Symbol> longest(std::string_view rest, bool within_word) const;

  WordPieceOptions options_;
  std::unordered_map<int32_t, const std::string*> tokens_;
  int32_t unknown_ = -1;
  size_t longest_token_ = 0;  // in bytes, prefixes included
};

}  // namespace deepspeed::text
