#include "deepspeed/text/utf8.h"

#include <algorithm>

#include <cstring>

#include "deepspeed/base/error.h"

namespace deepspeed::text {
namespace {

struct Sequence {
  size_t length;  // of the valid sequence, or of the maximal invalid part
  bool valid;
};

Sequence scan(std::string_view bytes, size_t at) {
  const auto byte = [&](size_t i) {
    return at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0u;
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {1, true};
  if (lead < 0xC2 || lead > 0xF4) return {1, false};
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  unsigned low = 0x80, high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (size_t i = 1; i < length; ++i) {
    if (byte(i) < low || byte(i) > high) return {i, false};
    low = 0x80, high = 0xBF;
  }
  return {length, true};
}

size_t find_invalid_from(std::string_view bytes, size_t at) {
  while (at < bytes.size()) {
    uint64_t word = 0;
    if (at + 8 <= bytes.size()) {
      std::memcpy(&word, bytes.data() + at, 8);
      if ((word & 0x8080808080808080u) == 0) {
        at += 8;
        continue;
      }
    }
    const Sequence sequence = scan(bytes, at);
    if (!sequence.valid) return at;
    at += sequence.length;
  }
  return std::string_view::npos;
}

}  // namespace

size_t find_invalid_utf8(std::string_view bytes) { return find_invalid_from(bytes, 0); }

void check_utf8(std::string_view bytes, std::string_view what) {
  const size_t bad = find_invalid_utf8(bytes);
  DS_CHECK(bad == std::string_view::npos,
           "{}: byte {} (0x{:02x}) is not UTF-8; convert the text to UTF-8 first", what, bad,
           static_cast<unsigned char>(bytes[bad]));
}

size_t count_code_points(std::string_view utf8) {
  return static_cast<size_t>(std::count_if(
      utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

size_t byte_of_code_point(std::string_view utf8, size_t index) {
  size_t at = 0;
  for (; index > 0 && at < utf8.size(); --index) at += utf8_length(utf8[at]);
  return std::min(at, utf8.size());
}

uint32_t next_code_point(std::string_view utf8, size_t& position) {
  const auto byte = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(utf8[position + i]));
  };
  const size_t length = utf8_length(utf8[position]);
  uint32_t value = byte(0);
  if (length == 2) value = (value & 0x1F) << 6 | (byte(1) & 0x3F);
  if (length == 3) value = (value & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
  if (length == 4) {
    value = (value & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  }
  position += length;
  return value;
}

uint32_t previous_code_point(std::string_view utf8, size_t& end) {
  do {
    --end;
  } while (end > 0 && (static_cast<unsigned char>(utf8[end]) & 0xC0) == 0x80);
  size_t position = end;
  return next_code_point(utf8, position);
}

void append_code_point(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
  } else if (c < 0x10000) {
    out += {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3F)),
            static_cast<char>(0x80 | (c & 0x3F))};
  } else {
    out += {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3F)),
            static_cast<char>(0x80 | (c >> 6 & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
  }
}

std::string utf8_lossy(std::string bytes) {
  size_t bad = find_invalid_from(bytes, 0);
  if (bad == std::string::npos) return bytes;
  std::string out;
  size_t copied = 0;
  while (bad != std::string::npos) {
    out.append(bytes, copied, bad - copied);
    out += "\xEF\xBF\xBD";
    copied = bad + scan(bytes, bad).length;
    bad = find_invalid_from(bytes, copied);
  }
  return out.append(bytes, copied);
}

std::string quote(std::string_view text) {
  return "'" + one_line(text.substr(0, 80)) + (text.size() > 80 ? "...'" : "'");
}

std::string one_line(std::string_view text) { return utf8_lossy(base::one_line(text)); }

}  // namespace deepspeed::text
