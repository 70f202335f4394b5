// Byte-pair encoding as SentencePiece does it (Kudo and Richardson 2018, bpe_model.cc): neighbours whose
// joined text is a token are joined, the best score first. Vocabularies with scores need no list of merges.
#pragma once

#include <array>

#include "deepspeed/text/model.h"

namespace deepspeed::text {

struct ScoredBpeOptions {
  struct Token {
    std::string text;
    float score = 0;
    bool joins = true;    // else it stands for nothing in a text: control tokens, bytes, the unknown token
    bool unused = false;  // it may only be a step on the way: where it is left it is taken apart again
  };
  std::vector<Token> tokens;  // by id, texts distinct
  std::optional<int32_t> unknown_id;
  std::string where;  // the file, for errors
};

class ScoredBpeModel : public Model {
 public:
  /// An Error when two tokens read alike, or a score is not a number.
  explicit ScoredBpeModel(ScoredBpeOptions options);

  /// A character that is no token becomes the tokens of its bytes, else the unknown token, a run of such
  /// together; an Error when there is none.
  void tokenize(std::string_view piece, std::vector<Symbol>& out) const override;
  bool writes_byte_characters() const override { return false; }
  std::optional<int32_t> id_of(std::string_view token) const override;
  const std::string* token_of(int32_t id) const override;
  int32_t size() const override { return static_cast<int32_t>(options_.tokens.size()); }
  int32_t max_id() const override { return size() - 1; }
  bool may_cut_before(std::string_view marker) const override;

 private:
  struct Node {
    uint32_t begin, end;
    int32_t previous, next;
  };
  struct Pair {
    float score;
    int32_t left;
    uint32_t end;  // of both together
    bool operator<(const Pair& other) const {
      return score != other.score ? score < other.score : left > other.left;
    }
  };
  using Steps =
      std::unordered_map<std::string_view, size_t>;  // of unused tokens: the length of their left part
  int32_t joinable(std::string_view text) const;
  void join(std::string_view piece, std::vector<Node>& nodes, Steps& steps) const;
  void append(std::string_view piece, uint32_t begin, uint32_t end, const Steps& steps,
              std::vector<Symbol>& out) const;
  void append_unknown(std::string_view piece, uint32_t begin, uint32_t end, std::vector<Symbol>& out) const;

  ScoredBpeOptions options_;
  std::unordered_map<std::string_view, int32_t> ids_, joinable_;
  std::array<int32_t, 256> byte_ids_{};
};

}  // namespace deepspeed::text
