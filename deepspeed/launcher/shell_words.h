// Splits a text into words as a POSIX shell would, without ever running one. After Python's shlex.split.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace deepspeed::launcher {

/// Words are separated by blanks, tabs and line ends. '...' keeps everything; "..." keeps everything but \"
/// and
/// \\; outside quotes a backslash keeps the next character. Nothing is expanded. Errors: a quote that is not
/// closed, a backslash at the end.
std::vector<std::string> split_words(std::string_view text);

}  // namespace deepspeed::launcher
