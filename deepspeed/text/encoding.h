// What a text becomes, and how it is cut and filled to a length.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace deepspeed::text {

struct Encoding {
  std::vector<int32_t> ids;
  std::vector<std::string> tokens;                 // as the vocabulary spells them; an added token as matched
  std::vector<std::pair<size_t, size_t>> offsets;  // [begin, end) in Unicode code points of the input
  std::vector<int32_t> type_ids;             // which of a pair of texts, as the post-processor numbers them
  std::vector<uint8_t> special_tokens_mask;  // 1: added around the text, or padding
  std::vector<uint8_t> attention_mask;       // 0: padding
  std::vector<int32_t> sequences;            // 0, 1: the first or the second text; -1: a token of neither
  std::vector<int32_t> words;  // which of its text's pieces between two cuts before the model; -1: none
  std::vector<Encoding> overflowing;  // what truncation has cut off, in pieces of the same length

  size_t size() const { return ids.size(); }
};

/// As tokenizers' truncation. Lengths count the tokens that the post-processor adds.
struct Truncation {
  enum class Strategy { kLongestFirst, kOnlyFirst, kOnlySecond };
  size_t max_length = 512;
  size_t stride = 0;  // tokens that each overflowing piece shares with the one before it
  Strategy strategy = Strategy::kLongestFirst;
  bool from_left = false;
};

/// As tokenizers' padding.
struct Padding {
  std::optional<size_t> length;  // nothing: that of the longest of the batch
  std::optional<size_t> multiple_of;
  bool on_left = false;
  int32_t id = 0;
  int32_t type_id = 0;
  std::string token = "[PAD]";
};

/// Cuts the encoding to `max_length`; the rest goes to its `overflowing`. An Error when the stride is not
/// below it.
void truncate(Encoding& encoding, size_t max_length, size_t stride, bool from_left);
/// Cuts both, of which `second` may be null, to what `truncation` leaves beside `added` special tokens.
void truncate(Encoding& first, Encoding* second, const Truncation& truncation, size_t added);
/// Fills all to one length, and what has overflown from them.
void pad(std::span<Encoding> batch, const Padding& padding);
/// Appends `from`; the overflowing pieces become all combinations that hold one.
void append(Encoding& to, const Encoding& from);

}  // namespace deepspeed::text
