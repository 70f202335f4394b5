#include "deepspeed/inference/tasks/text_span.h"

#include "deepspeed/text/utf8.h"

namespace deepspeed::inference {

std::string text_span(std::string_view utf8, size_t begin, size_t end) {
  const size_t first = text::byte_of_code_point(utf8, begin), last = text::byte_of_code_point(utf8, end);
  return std::string(utf8.substr(first, last > first ? last - first : 0));
}

}  // namespace deepspeed::inference
