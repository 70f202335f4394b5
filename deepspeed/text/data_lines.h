// The lines of a file of training data. Private to text/.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string_view>

namespace deepspeed::text {

/// Lines without their ends, numbered from 1, until `visit` returns false. A byte order mark is left out.
inline void each_line(std::string_view content, const std::function<bool(size_t, std::string_view)>& visit) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (content.starts_with(kByteOrderMark)) content.remove_prefix(kByteOrderMark.size());
  for (size_t number = 1; !content.empty(); ++number) {
    const size_t end = std::min(content.find('\n'), content.size());
    std::string_view line = content.substr(0, end);
    content.remove_prefix(std::min(end + 1, content.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!visit(number, line)) return;
  }
}

inline bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t") == std::string_view::npos;
}

/// Those that are not blank.
inline void each_full_line(std::string_view content,
                           const std::function<bool(size_t, std::string_view)>& visit) {
  each_line(content,
            [&](size_t number, std::string_view line) { return is_blank(line) || visit(number, line); });
}

}  // namespace deepspeed::text
