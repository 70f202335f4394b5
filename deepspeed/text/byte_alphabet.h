// GPT-2's byte alphabet (Radford et al. 2019, encoder.py bytes_to_unicode): one printable character a byte.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace deepspeed::text {

/// The character that stands for the byte, as UTF-8 of one or two bytes.
std::string_view byte_character(uint8_t byte);
/// "Ġhello" for " hello".
std::string to_byte_characters(std::string_view bytes);
/// Appends the bytes that a token stands for; a token with a character outside the alphabet stands for
/// itself.
void append_token_bytes(std::string_view token, std::string& out);

}  // namespace deepspeed::text
