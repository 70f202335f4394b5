// A stretch of text on its way through the tokenizer, with the place in the input that each byte came from.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace deepspeed::text {

/// [begin, end) in code points of the input.
using Span = std::pair<uint32_t, uint32_t>;

struct Piece {
  std::string_view text;         // valid UTF-8
  const Span* origin = nullptr;  // one a byte of text; null where only ids are wanted
  int32_t token = -1;            // the added token that this piece is
  bool at_start = false;         // no piece comes before it; told by the origins where there are some

  Piece slice(size_t begin, size_t end) const {
    return {text.substr(begin, end - begin), origin == nullptr ? nullptr : origin + begin, token,
            at_start && begin == 0};
  }
  /// Whether the input's first character is where this piece begins.
  bool begins_input() const { return origin == nullptr || text.empty() ? at_start : origin[0].first == 0; }
};

/// Text made on the way (normalized, with a space put before) and its origins; addresses stay valid.
struct PieceStorage {
  std::deque<std::string> texts;
  std::deque<std::vector<Span>> origins;
};

using PieceSink = std::function<void(const Piece&)>;

}  // namespace deepspeed::text
