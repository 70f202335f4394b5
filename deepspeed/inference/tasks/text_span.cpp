#include "deepspeed/inference/tasks/text_span.h"

namespace deepspeed::inference {
namespace {

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }

size_t byte_of(std::string_view utf8, size_t code_point) {
  size_t at = 0;
  for (size_t count = 0; at < utf8.size(); ++at)
    if (begins_character(utf8[at]) && count++ == code_point) return at;
  return at;
}

}  // namespace

size_t code_points(std::string_view utf8) {
  size_t count = 0;
  for (const char byte : utf8) count += begins_character(byte) ? 1 : 0;
  return count;
}

std::string text_span(std::string_view utf8, size_t begin, size_t end) {
  const size_t first = byte_of(utf8, begin), last = byte_of(utf8, end);
  return std::string(utf8.substr(first, last > first ? last - first : 0));
}

}  // namespace deepspeed::inference
