#include "deepspeed/text/byte_alphabet.h"

#include <array>

#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

constexpr uint32_t kCharacters = 324;  // the alphabet's code points are below this

struct Alphabet {
  std::array<std::string, 256> character;
  std::array<int16_t, kCharacters> byte;

  Alphabet() {
    byte.fill(-1);
    uint32_t next = 256;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      const uint32_t code_point = printable ? b : next++;
      append_code_point(character[b], code_point);
      byte[code_point] = static_cast<int16_t>(b);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet value;
  return value;
}

}  // namespace

std::string_view byte_character(uint8_t byte) { return alphabet().character[byte]; }

std::string to_byte_characters(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) out += byte_character(static_cast<uint8_t>(byte));
  return out;
}

void append_token_bytes(std::string_view token, std::string& out) {
  const size_t start = out.size();
  for (size_t at = 0; at < token.size();) {
    const uint32_t c = next_code_point(token, at);
    if (c >= kCharacters || alphabet().byte[c] < 0) {
      out.resize(start);
      out += token;
      return;
    }
    out += static_cast<char>(alphabet().byte[c]);
  }
}

}  // namespace deepspeed::text
