#include "deepspeed/text/json_lines.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "deepspeed/base/error.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr size_t kFieldsNamed = 4;  // in an error

std::string field_names(const nlohmann::json& line) {
  std::string names;
  size_t count = 0;
  for (const auto& [name, value] : line.items()) {
    if (count++ == kFieldsNamed) return names + ", ...";
    names += (names.empty() ? "" : ", ") + quote(name);
  }
  return names.empty() ? "none" : names;
}

class LineReader {
 public:
  LineReader(const nlohmann::json& line, std::string where) : line_(line), where_(std::move(where)) {}

  Example read(const std::string& text_field) const {
    const bool document = has(text_field), response = has("response"), completion = has("completion");
    const bool pair = has("prompt") && (response || completion);
    DS_CHECK(document || pair,
             "{}: no field {} (choose another with --text-field) and no 'prompt' with 'response' or "
             "'completion'; the fields are {}",
             where_, quote(text_field), field_names(line_));
    DS_CHECK(!document || !pair, "{}: both a document ({}) and a pair ('prompt'): which is meant?", where_,
             quote(text_field));
    if (document) return {.prompt = "", .text = text(text_field), .is_pair = false};
    DS_CHECK(!response || !completion, "{}: both 'response' and 'completion': which is meant?", where_);
    return {.prompt = text("prompt"), .text = text(response ? "response" : "completion"), .is_pair = true};
  }

 private:
  bool has(const std::string& field) const { return line_.contains(field); }
  const std::string& text(const std::string& field) const {
    const auto& value = line_.at(field);
    DS_CHECK(value.is_string(), "{}: field {} is of type {}, not a string", where_, quote(field),
             value.type_name());
    return value.get_ref<const std::string&>();
  }

  const nlohmann::json& line_;
  std::string where_;
};

}  // namespace

void read_json_lines(std::string_view content, const std::string& name, const std::string& text_field,
                     const std::function<void(size_t line, const Example& example)>& each) {
  if (content.starts_with(kByteOrderMark)) content.remove_prefix(kByteOrderMark.size());
  size_t number = 0;
  while (!content.empty()) {
    const size_t end = std::min(content.find('\n'), content.size());
    const std::string_view line = content.substr(0, end);
    content.remove_prefix(std::min(end + 1, content.size()));
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    const std::string where = name + ":" + std::to_string(number);
    DS_CHECK(object.is_object(), "{}: not a JSON object: {}", where, quote(line));
    each(number, LineReader(object, where).read(text_field));
  }
}

}  // namespace deepspeed::text
