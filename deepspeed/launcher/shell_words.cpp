#include "deepspeed/launcher/shell_words.h"

#include <optional>

#include "deepspeed/base/error.h"

namespace deepspeed::launcher {

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  std::optional<std::string> word;
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool has_next = i + 1 < text.size();
    if (quote == 0 && std::string_view(" \t\r\n").find(c) != std::string_view::npos) {
      if (word) words.push_back(std::move(*word));
      word.reset();
      continue;
    }
    if (!word) word.emplace();
    if (c == quote) {
      quote = 0;
    } else if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == '\\' && quote != '\'') {
      DS_CHECK(has_next, "'{}' ends in a backslash that keeps nothing", text);
      const char next = text[++i];
      if (quote == '"' && next != '"' && next != '\\') word->push_back('\\');
      word->push_back(next);
    } else {
      word->push_back(c);
    }
  }
  DS_CHECK(quote == 0, "'{}' has a quote {} that is not closed", text, quote);
  if (word) words.push_back(std::move(*word));
  return words;
}

}  // namespace deepspeed::launcher
