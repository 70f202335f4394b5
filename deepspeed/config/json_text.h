// Characters and numbers as JSON texts have them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace deepspeed::config {

bool is_digit(char c);
/// Length of the well-formed UTF-8 sequence at the front of `s`, 0 when there is none (Unicode 15, table
/// 3-7).
size_t utf8_length(std::string_view s);
/// Appends the code point, <= U+10FFFF and no surrogate.
void append_utf8(std::string& out, unsigned code);
/// Whether the token follows JSON's number grammar; `whole` tells that it has neither fraction nor exponent.
bool is_json_number(std::string_view token, bool& whole);

}  // namespace deepspeed::config
