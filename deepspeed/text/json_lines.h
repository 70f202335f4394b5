// Lines of training data: one JSON object a line (.jsonl). Torch-free.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace deepspeed::text {

/// A document, or a prompt and the response to it that is to be learnt.
struct Example {
  std::string prompt;  // empty unless is_pair
  std::string text;    // the document, or the response
  bool is_pair = false;
};

/// Calls `each` for every line that is not blank; line numbers start at 1. What a line's fields mean:
///  - `text_field` (usually "text"), a string: a document;
///  - "prompt" and one of "response" and "completion", strings: a pair;
///  - other fields beside these are not read (a corpus' "meta", "id", ...).
/// Errors, as "name:line: ...": not a JSON object; none of the above; both kinds at once, or both "response"
/// and "completion"; a field of another type. They name the fields found.
void read_json_lines(std::string_view content, const std::string& name, const std::string& text_field,
                     const std::function<void(size_t line, const Example& example)>& each);

}  // namespace deepspeed::text
