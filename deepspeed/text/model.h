// What turns one piece of text into tokens of a vocabulary.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace deepspeed::text {

struct TransparentHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using Vocabulary = std::unordered_map<std::string, int32_t, TransparentHash, std::equal_to<>>;

/// Immutable: any number of threads may read.
class Model {
 public:
  /// A token and the bytes of the piece that it stands for; these are counted in byte characters where the
  /// model writes such.
  struct Symbol {
    int32_t id;
    uint32_t begin, end;
    bool as_written = false;  // an Encoding shows the piece's text instead of the token's
  };

  virtual ~Model() = default;
  /// Appends the symbols of `piece` (raw bytes of valid UTF-8, or parts of such) to `out`.
  virtual void tokenize(std::string_view piece, std::vector<Symbol>& out) const = 0;
  /// Whether symbols count bytes of GPT-2's byte characters (text/byte_alphabet.h) rather than of the piece.
  virtual bool writes_byte_characters() const = 0;
  virtual std::optional<int32_t> id_of(std::string_view token) const = 0;
  /// Null when no token has this id.
  virtual const std::string* token_of(int32_t id) const = 0;
  /// Number of ids that the model's tokens fill; added tokens that it lacks come behind them.
  virtual int32_t size() const = 0;
  /// The largest id; -1 when there is none.
  virtual int32_t max_id() const = 0;
  /// Whether cutting pieces before every `marker` that follows another character changes no token.
  virtual bool may_cut_before(std::string_view) const { return false; }
};

/// A vocabulary read both ways.
class TokenTable {
 public:
  TokenTable() = default;
  TokenTable(TokenTable&&) = default;
  TokenTable& operator=(TokenTable&&) = default;
  /// An Error naming `where` when two tokens share an id.
  TokenTable(Vocabulary vocabulary, const std::string& where);

  std::optional<int32_t> id_of(std::string_view token) const {
    const auto found = ids_.find(token);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }
  const std::string* token_of(int32_t id) const {
    return id < 0 || static_cast<size_t>(id) >= tokens_.size() ? sparse(id)
                                                               : tokens_[static_cast<size_t>(id)];
  }
  int32_t size() const { return static_cast<int32_t>(ids_.size()); }
  int32_t max_id() const { return max_id_; }
  const Vocabulary& ids() const { return ids_; }

 private:
  const std::string* sparse(int32_t id) const {
    const auto found = sparse_.find(id);
    return found == sparse_.end() ? nullptr : found->second;
  }
  Vocabulary ids_;
  std::vector<const std::string*> tokens_;                  // of ids below twice the number of tokens
  std::unordered_map<int32_t, const std::string*> sparse_;  // of the others
  int32_t max_id_ = -1;
};

/// The token "<0x0A>" that stands for a byte where a vocabulary falls back to bytes.
std::string byte_token(uint8_t byte);

}  // namespace deepspeed::text
