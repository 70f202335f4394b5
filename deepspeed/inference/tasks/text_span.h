// Parts of a text by code points, as tokenizers count them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace deepspeed::inference {

/// Code points [begin, end), as far as there are so many.
std::string text_span(std::string_view utf8, size_t begin, size_t end);

}  // namespace deepspeed::inference
