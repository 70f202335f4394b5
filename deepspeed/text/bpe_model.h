// Byte-pair encoding of one piece of text (Sennrich et al. 2016), as tokenizers' BPE model does it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "deepspeed/text/model.h"

namespace deepspeed::text {

struct BpeOptions {
  Vocabulary vocabulary;                                    // ids unique
  std::vector<std::pair<std::string, std::string>> merges;  // best first
  std::optional<std::string> unknown_token;                 // for bytes that the vocabulary lacks
  bool fuse_unknown = false;                                // one unknown token for a run of such bytes
  bool ignore_merges = false;                               // a piece that is a token is that token
  std::string where;                                        // the file, for errors
};

class BpeModel : public Model {
 public:
  BpeModel() = default;
  BpeModel(BpeModel&&) = default;
  BpeModel& operator=(BpeModel&&) = default;
  /// An Error when a merge joins or makes a token that the vocabulary lacks.
  explicit BpeModel(BpeOptions options);

  /// Appends the symbols of `piece` (raw bytes) to `out`.
  void tokenize(std::string_view piece, std::vector<Symbol>& out) const override;
  bool writes_byte_characters() const override { return true; }
  std::optional<int32_t> id_of(std::string_view token) const override;
  const std::string* token_of(int32_t id) const override;
  const Vocabulary& vocabulary() const override { return options_.vocabulary; }
  size_t merge_count() const { return merges_.size(); }

 private:
  struct Merge {
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
  void spell(std::string_view piece, std::vector<Node>& nodes) const;
  void merge_all(std::vector<Node>& nodes) const;

  BpeOptions options_;
  std::unordered_map<int32_t, const std::string*> tokens_;
  std::unordered_map<uint64_t, Merge> merges_;
  std::array<int32_t, 256> byte_ids_{};  // -1: the vocabulary lacks the byte
};

}  // namespace deepspeed::text
