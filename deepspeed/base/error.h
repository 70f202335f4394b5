// One way to fail: base::Error, whose text is one line that says what was wrong, where, and what to do.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace deepspeed::base {

/// A user's error: bad input, missing file, impossible configuration. Tools print what() and exit non-zero.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
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
