// Python's methods of str as functions of UTF-8 texts: what chat templates call, themselves or through
// filters. Errors: cases of characters that are not built, empty separators.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace deepspeed::text {

bool python_is_space(uint32_t c);
bool python_is_ascii(const std::string& text);
std::string python_upper(const std::string& text);
std::string python_lower(const std::string& text);
std::string python_capitalize(const std::string& text);
/// Of white space, or of the given characters.
std::string python_strip(const std::string& text, const std::string* characters, bool left, bool right);
/// At most `count` times; all of them where it is negative.
std::string python_replace(const std::string& text, const std::string& from, const std::string& to,
                           int64_t count);
std::vector<std::string> python_split_lines(const std::string& text);
/// At runs of white space, at `separator`, and at its last places: at most `most` times unless that is
/// negative.
std::vector<std::string> python_split_spaces(const std::string& text, int64_t most);
std::vector<std::string> python_split(const std::string& text, const std::string& separator, int64_t most);
std::vector<std::string> python_split_from_right(const std::string& text, const std::string& separator,
                                                 int64_t most);

}  // namespace deepspeed::text
