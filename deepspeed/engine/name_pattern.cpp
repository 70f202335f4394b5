#include "deepspeed/engine/name_pattern.h"

#include "deepspeed/base/error.h"

namespace deepspeed::engine {

std::regex name_pattern(const std::vector<std::string>& patterns) {
  std::string any;
  for (const std::string& pattern : patterns) {
    if (!any.empty()) any += '|';
    std::string expression;
    for (const char c : pattern) expression += c == '*' ? std::string(".*") : std::string(1, c);
    try {
      static_cast<void>(std::regex(expression));
    } catch (const std::regex_error&) {
      base::fail(
          "\"{}\" is no name pattern: its brackets do not match, or a repetition has nothing to repeat",
          pattern);
    }
    any += "(?:" + expression + ")";
  }
  return std::regex(any.empty() ? "(?!)" : any);
}

}  // namespace deepspeed::engine
