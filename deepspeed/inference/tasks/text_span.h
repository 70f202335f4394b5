// Parts of a text by code points, as tokenizers count them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace deepspeed::inference {

size_t code_points(std::string_view utf8);
/// Code points [begin, end), as far as there are so many.
std::string text_span(std::string_view utf8, size_t begin, size_t end);

}  // namespace deepspeed::inference
