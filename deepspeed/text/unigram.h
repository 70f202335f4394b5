// Unigram language model (Kudo 2018, "Subword Regularization"), as tokenizers' model of that name: the most
// likely sequence of tokens.
#pragma once

#include <array>

#include "deepspeed/text/model.h"
#include "deepspeed/text/trie.h"

namespace deepspeed::text {

struct UnigramOptions {
  std::vector<std::pair<std::string, double>> vocabulary;  // by id, with logarithms of probabilities
  std::vector<bool> left_out;  // tokens that are not found in a text (by id); none: all are
  std::optional<int32_t> unknown_id;
  bool byte_fallback = false;  // what the vocabulary lacks becomes the tokens of its bytes
  std::string where;           // the file, for errors
};

class UnigramModel : public Model {
 public:
  /// An Error when the vocabulary is empty or has no unknown_id-th token.
  explicit UnigramModel(UnigramOptions options);

  /// What the vocabulary lacks is unknown, a run of it together. An Error when there is no unknown token.
  void tokenize(std::string_view piece, std::vector<Symbol>& out) const override;
  bool writes_byte_characters() const override { return false; }
  /// Of a text that is there twice, the last.
  std::optional<int32_t> id_of(std::string_view token) const override;
  const std::string* token_of(int32_t id) const override;
  int32_t size() const override { return static_cast<int32_t>(options_.vocabulary.size()); }
  int32_t max_id() const override { return size() - 1; }

 private:
  struct Step;
  void find_best_path(std::string_view piece, std::vector<Step>& steps) const;
  void append(std::string_view piece, uint32_t begin, uint32_t end, int32_t id,
              std::vector<Symbol>& out) const;

  UnigramOptions options_;
  std::unordered_map<std::string_view, int32_t, TransparentHash, std::equal_to<>> ids_;
  Trie trie_;
  double unknown_score_ = 0;
  std::array<int32_t, 256> byte_ids_{};
};

}  // namespace deepspeed::text
