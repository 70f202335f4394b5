// Lines of training data for encoders: texts with labels (.jsonl, .tsv) and sequences that are token ids
// already. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace deepspeed::text {

/// A class by number or by name, or a value.
using Label = std::variant<int64_t, double, std::string>;

struct LabelledText {
  std::string text;
  std::optional<std::string> pair;  // a second text, read together with the first
  Label label;
};

/// A sequence as token ids, with what is to be learnt of it: a label each, or one label of all.
struct LabelledTokens {
  std::vector<int64_t> ids, token_types;  // token_types is empty or as long as ids
  std::variant<std::vector<int64_t>, Label> labels;
};

using LabelledLine = std::variant<LabelledText, LabelledTokens>;
using LabelledSink = std::function<void(size_t line, LabelledLine example)>;

/// Calls `each` for every line that is not blank; line numbers start at 1. A line is a JSON object, and is
///  - a text: `text_field`, a string, perhaps "text_pair", a string, and "label";
///  - tokens: "input_ids", an array, perhaps "token_type_ids", and "labels" (an array, or as "label") or
///  "label".
/// Other fields are not read. Errors, as "name:line: ...": not a JSON object, a missing field, one of another
/// type, arrays of other lengths than "input_ids" or numbers outside 32 bits in them.
void read_labelled_json_lines(std::string_view content, const std::string& name,
                              const std::string& text_field, const LabelledSink& each);

/// The same of tab-separated lines: text, label; or text, second text, label. The first line is taken for a
/// header, and left out, where its last column is "label" or "labels". A label that reads as a whole number
/// or as a number is one. Errors: a line of one column or more than three, or of another number than the
/// first; bytes that are not UTF-8.
void read_labelled_table(std::string_view content, const std::string& name, const LabelledSink& each);

/// Whether the first line that is not blank holds tokens ("input_ids").
bool holds_tokens(std::string_view json_lines);

}  // namespace deepspeed::text
