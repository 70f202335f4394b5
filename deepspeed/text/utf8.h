// UTF-8, checked once at the border: everything behind validate_utf8 may assume whole, valid sequences.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace deepspeed::text {

/// The first byte that is not valid UTF-8 (Unicode 15, table 3-7: no surrogates, no overlong forms), or npos.
size_t find_invalid_utf8(std::string_view bytes);
/// An Error naming `what` and the offset when the bytes are not valid UTF-8.
void check_utf8(std::string_view bytes, std::string_view what);

/// Length of the sequence that starts with this byte of valid UTF-8.
inline size_t utf8_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}
/// Number of code points of valid UTF-8.
size_t count_code_points(std::string_view utf8);
/// The byte at which code point `index` of valid UTF-8 begins; its size where there are no more than `index`.
size_t byte_of_code_point(std::string_view utf8, size_t index);
/// The code point at `position` of valid UTF-8; moves `position` past it.
uint32_t next_code_point(std::string_view utf8, size_t& position);
/// The code point that ends at `end` (> 0) of valid UTF-8; moves `end` to its first byte.
uint32_t previous_code_point(std::string_view utf8, size_t& end);
void append_code_point(std::string& out, uint32_t code_point);
/// A copy in which each maximal invalid part is one U+FFFD (Unicode 15, section 3.9, as Rust's
/// from_utf8_lossy).
std::string utf8_lossy(std::string bytes);
/// For error messages: at most 80 bytes of `text` in quotes, on one line, valid UTF-8.
std::string quote(std::string_view text);
/// `text` with control characters as escapes (base::one_line) and with what is not UTF-8 replaced.
std::string one_line(std::string_view text);

}  // namespace deepspeed::text
