// One way to fail: base::Error, whose text is one line that says what was wrong, where, and what to do.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace deepspeed::base {

/// `text` with control characters as escapes: "\x0a" for a new line.
std::string one_line(std::string_view text);

/// A user's error: bad input, missing file, impossible configuration. Tools print what() and exit non-zero.
class Error : public std::runtime_error {
 public:
  /// Names and values that come from files may hold anything: what() is one line whatever `text` is.
  explicit Error(std::string_view text) : std::runtime_error(one_line(text)) {}
};

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace deepspeed::base

/// Throws base::Error with the formatted message unless the condition holds.
#define DS_CHECK(condition, ...)            \
  do {                                      \
    if (!(condition)) [[unlikely]]          \
      ::deepspeed::base::fail(__VA_ARGS__); \
  } while (0)
