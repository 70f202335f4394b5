// Byte-pair encoding of one piece of text (Sennrich et al. 2016), as tokenizers' BPE model does it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "deepspeed/text/model.h"

namespace deepspeed::text {

struct BpeOptions {
  Vocabulary vocabulary;                                    // ids unique
  std::vector<std::pair<std::string, std::string>> merges;  // best first
  std::optional<std::string> unknown_token;                 // for what the vocabulary lacks
  bool byte_level = true;  // starts from bytes, written as byte characters; else from the text's characters
  bool byte_fallback = false;  // a character that the vocabulary lacks becomes the tokens of its bytes
  bool fuse_unknown = false;   // one unknown token for a run of such characters
  bool ignore_merges = false;  // a piece that is a token is that token
  std::string where;           // the file, for errors
};

class BpeModel : public Model {
 public:
  /// An Error when a merge joins or makes a token that the vocabulary lacks.
  explicit BpeModel(BpeOptions options);

  /// Appends the symbols of `piece` (raw bytes) to `out`.
  void tokenize(std::string_view piece, std::vector<Symbol>& out) const override;
  bool writes_byte_characters() const override { return options_.byte_level; }
  std::optional<int32_t> id_of(std::string_view token) const override { return tokens_.id_of(token); }
  const std::string* token_of(int32_t id) const override { return tokens_.token_of(id); }
  int32_t size() const override { return tokens_.size(); }
  int32_t max_id() const override { return tokens_.max_id(); }
  size_t merge_count() const { return merge_count_; }

  bool may_cut_before(std::string_view marker) const override;

 private:
  struct Merge {
    uint64_t key;  // both ids; kNoPair in empty places
    uint32_t rank;
    int32_t id;
  };
  struct Node {
    int32_t id;
    uint32_t width;
    int32_t previous;
    int32_t next;
  };
  const Merge* find_merge(int32_t left, int32_t right) const;
  void add_merges();
  void insert(const Merge& merge);
  int32_t unknown_id(std::string_view character) const;
  void spell(std::string_view piece, std::vector<Node>& nodes) const;
  bool spell_bytes(std::string_view character, std::vector<Node>& nodes) const;
  int32_t id_of_character(std::string_view character) const;
  void merge_few(std::vector<Node>& nodes) const;
  void merge_all(std::vector<Node>& nodes) const;

  BpeOptions options_;  // without vocabulary; merges are kept only while may_cut_before may ask
  TokenTable tokens_;
  std::vector<Merge> merges_;  // open addressing; its size is a power of two
  size_t merge_count_ = 0;
  std::array<int32_t, 256> byte_ids_{};  // -1: the vocabulary lacks the byte('s character)
};

}  // namespace deepspeed::text
