// What Split and Replace look for: a text or a pattern.
#pragma once

#include <string>
#include <variant>

#include "deepspeed/text/pattern.h"

namespace deepspeed::text {

class Matcher {
 public:
  explicit Matcher(Pattern pattern) : what_(std::move(pattern)) {}
  /// An empty text matches nowhere.
  explicit Matcher(std::string text) : what_(std::move(text)) {}

  /// As Pattern::cut.
  template <typename Sink>
  void cut(std::string_view utf8, const Sink& piece) const {
    if (const auto* pattern = std::get_if<Pattern>(&what_)) return pattern->cut(utf8, piece);
    const std::string& text = std::get<std::string>(what_);
    size_t done = 0;
    while (!text.empty()) {
      const size_t found = utf8.find(text, done);
      if (found == std::string_view::npos) break;
      if (found > done) piece(done, found, false);
      piece(found, found + text.size(), true);
      done = found + text.size();
    }
    if (done < utf8.size()) piece(done, utf8.size(), false);
  }

 private:
  std::variant<Pattern, std::string> what_;
};

}  // namespace deepspeed::text
