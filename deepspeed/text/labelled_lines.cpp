#include "deepspeed/text/labelled_lines.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "deepspeed/base/error.h"
#include "deepspeed/text/data_lines.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

using nlohmann::json;

constexpr int64_t kLargest = int64_t{1} << 31;  // of ids and labels

class JsonLine {
 public:
  JsonLine(const json& line, std::string where) : line_(line), where_(std::move(where)) {}

  LabelledLine read(const std::string& text_field) const {
    if (line_.contains("input_ids")) return tokens();
    DS_CHECK(line_.contains(text_field),
             "{}: neither a text ({}; choose another with --text-field) nor tokens (\"input_ids\")", where_,
             quote(text_field));
    LabelledText out{text(text_field.c_str()), std::nullopt, label("label")};
    if (line_.contains("text_pair")) out.pair = text("text_pair");
    return out;
  }

 private:
  LabelledTokens tokens() const {
    LabelledTokens out{numbers("input_ids", line_.at("input_ids"), 0), {}, {}};
    DS_CHECK(!out.ids.empty(), "{}: \"input_ids\" is empty", where_);
    if (line_.contains("token_type_ids"))
      out.token_types = numbers("token_type_ids", line_.at("token_type_ids"), out.ids.size());
    const char* key = line_.contains("labels") ? "labels" : "label";
    if (line_.contains(key) && line_.at(key).is_array()) {
      out.labels = numbers(key, line_.at(key), out.ids.size());
    } else {
      out.labels = label(key);
    }
    return out;
  }

  // `count` numbers; 0: any number of them.
  std::vector<int64_t> numbers(const char* field, const json& value, size_t count) const {
    DS_CHECK(value.is_array(), "{}: field \"{}\" is of type {}, not an array", where_, field,
             value.type_name());
    DS_CHECK(count == 0 || value.size() == count, "{}: \"{}\" holds {} numbers, \"input_ids\" {}", where_,
             field, value.size(), count);
    std::vector<int64_t> out;
    for (const json& element : value) out.push_back(whole(field, element));
    return out;
  }

  int64_t whole(const char* field, const json& value) const {
    const bool small = value.is_number_integer() && (!value.is_number_unsigned() ||
                                                     value.get<uint64_t>() < static_cast<uint64_t>(kLargest));
    DS_CHECK(small && value.get<int64_t>() > -kLargest,
             "{}: field \"{}\" holds {}, not a whole number below 2^31", where_, field,
             quote(value.dump(-1, ' ', false, json::error_handler_t::replace)));
    return value.get<int64_t>();
  }

  Label label(const char* field) const {
    DS_CHECK(line_.contains(field), "{}: no field \"label\"", where_);
    const json& value = line_.at(field);
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number_float()) return value.get<double>();
    return whole(field, value);
  }

  std::string text(const char* field) const {
    const json& value = line_.at(field);
    DS_CHECK(value.is_string(), "{}: field {} is of type {}, not a string", where_, quote(field),
             value.type_name());
    return value.get<std::string>();
  }

  const json& line_;
  std::string where_;
};

Label label_of(std::string_view text) {
  int64_t whole = 0;
  double value = 0;
  const char* const end = text.data() + text.size();
  if (const auto read = std::from_chars(text.data(), end, whole); read.ec == std::errc() && read.ptr == end)
    return whole;
  // "nan" and "inf" are words here: nothing can be learnt of them.
  if (const auto read = std::from_chars(text.data(), end, value);
      read.ec == std::errc() && read.ptr == end && std::isfinite(value))
    return value;
  return std::string(text);
}

std::vector<std::string_view> columns_of(std::string_view line) {
  std::vector<std::string_view> columns;
  for (size_t at = 0; at <= line.size();) {
    const size_t end = std::min(line.find('\t', at), line.size());
    columns.push_back(line.substr(at, end - at));
    at = end + 1;
  }
  return columns;
}

}  // namespace

void read_labelled_json_lines(std::string_view content, const std::string& name,
                              const std::string& text_field, const LabelledSink& each) {
  each_full_line(content, [&](size_t number, std::string_view line) {
    const auto object = json::parse(line, nullptr, /*allow_exceptions=*/false);
    const std::string where = name + ":" + std::to_string(number);
    DS_CHECK(object.is_object(), "{}: not a JSON object: {}", where, quote(line));
    each(number, JsonLine(object, where).read(text_field));
    return true;
  });
}

void read_labelled_table(std::string_view content, const std::string& name, const LabelledSink& each) {
  size_t wanted = 0;
  each_full_line(content, [&](size_t number, std::string_view line) {
    const auto columns = columns_of(line);
    const std::string where = name + ":" + std::to_string(number);
    const bool first = wanted == 0;
    if (first) wanted = columns.size();
    DS_CHECK(columns.size() == wanted && (wanted == 2 || wanted == 3),
             "{}: {} columns; want {} (a text, perhaps a second one, and a label, separated by tabs)", where,
             columns.size(), first ? "2 or 3" : std::to_string(wanted));
    DS_CHECK(find_invalid_utf8(line) == std::string_view::npos, "{}: not valid UTF-8", where);
    if (first && (columns.back() == "label" || columns.back() == "labels")) return true;
    LabelledText example{std::string(columns[0]), std::nullopt, label_of(columns.back())};
    if (columns.size() == 3) example.pair = std::string(columns[1]);
    each(number, std::move(example));
    return true;
  });
}

bool holds_tokens(std::string_view json_lines) {
  bool found = false;
  each_full_line(json_lines, [&](size_t, std::string_view line) {
    const auto object = json::parse(line, nullptr, /*allow_exceptions=*/false);
    found = object.is_object() && object.contains("input_ids");
    return false;
  });
  return found;
}

}  // namespace deepspeed::text
