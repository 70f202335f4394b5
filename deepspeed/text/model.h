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
  struct Symbol {
    int32_t id;
    uint32_t
        width;  // bytes of the piece that it stands for; written in byte characters where the model does so
  };

  virtual ~Model() = default;
  /// Appends the symbols of `piece` (raw bytes of valid UTF-8, or parts of such) to `out`.
  virtual void tokenize(std::string_view piece, std::vector<Symbol>& out) const = 0;
  /// Whether widths count bytes of GPT-2's byte characters (text/byte_alphabet.h) rather than of the piece.
  virtual bool writes_byte_characters() const = 0;
  virtual std::optional<int32_t> id_of(std::string_view token) const = 0;
  /// Null when no token has this id.
  virtual const std::string* token_of(int32_t id) const = 0;
  virtual const Vocabulary& vocabulary() const = 0;
};

}  // namespace deepspeed::text
