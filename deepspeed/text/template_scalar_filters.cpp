// Jinja's filters of texts and numbers; `tojson` is transformers'.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "deepspeed/base/error.h"
#include "deepspeed/text/python_text.h"
#include "deepspeed/text/template_filters.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {

bool template_flag(const TemplateCallArguments& arguments, size_t place, std::string_view name,
                   bool otherwise) {
  const TemplateValue* value = arguments.get(place, name);
  return value == nullptr ? otherwise : value->truthy();
}

int64_t template_whole(const TemplateCallArguments& arguments, size_t place, std::string_view name,
                       int64_t otherwise) {
  const TemplateValue* value = arguments.get(place, name);
  if (value == nullptr) return otherwise;
  DS_CHECK(value->is_integer(), "'{}' must be a whole number, not a {}", name, value->type_name());
  return value->integer();
}

std::string template_text(TemplateRenderer& renderer, const TemplateValue& value) {
  std::string out = to_text(value);
  renderer.spend(out.size());
  return out;
}

namespace {

using Value = TemplateValue;
using Arguments = TemplateCallArguments;

Value indent(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("indent", 3, {"width", "first", "blank"});
  DS_CHECK(value.text() != nullptr, "indent needs a text, not a {}", value.type_name());
  const Value* width = a.get(0, "width");
  const int64_t spaces = width != nullptr && width->text() != nullptr ? 0 : template_whole(a, 0, "width", 4);
  DS_CHECK(spaces <= 10000, "an indent of {} is too wide", spaces);
  const std::string indention = width != nullptr && width->text() != nullptr
                                    ? *width->text()
                                    : std::string(static_cast<size_t>(std::max<int64_t>(0, spaces)), ' ');
  const bool blank = template_flag(a, 2, "blank", false);
  const std::vector<std::string> lines = python_split_lines(*value.text() + "\n");
  std::string out = template_flag(a, 1, "first", false) ? indention : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    r.spend(lines[i].size() + indention.size());
    if (i > 0) out += '\n';
    if (i > 0 && (blank || !lines[i].empty())) out += indention;
    out += lines[i];
  }
  return Value(std::move(out));
}

Value title(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("title", 0, {});
  const std::string text = template_text(r, value);
  std::string out, word;
  const auto flush = [&] {
    if (!word.empty()) out += python_capitalize(word);
    word.clear();
  };
  for (const char c : text) {
    if (std::string_view("- \t\n\v\f\r({[<").find(c) == std::string_view::npos) {
      word += c;
      continue;
    }
    flush();
    out += c;
  }
  flush();
  return Value(std::move(out));
}

Value replace(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("replace", 3, {"old", "new", "count"});
  DS_CHECK(a.get(0, "old") != nullptr && a.get(1, "new") != nullptr, "replace needs an old and a new text");
  const std::string from = to_text(*a.get(0, "old")), to = to_text(*a.get(1, "new"));
  const std::string text = template_text(r, value);
  r.spend(text.size() * (from.empty() ? to.size() + 1 : 1 + to.size() / from.size()));
  const Value* count = a.get(2, "count");
  return r.text(python_replace(
      text, from, to, count == nullptr || count->is_none() ? -1 : template_whole(a, 2, "count", -1)));
}

Value trim(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("trim", 1, {"chars"});
  const Value* characters = a.get(0, "chars");
  const bool chosen = characters != nullptr && !characters->is_none();
  DS_CHECK(!chosen || characters->text() != nullptr, "trim takes a text");
  return r.text(python_strip(template_text(r, value), chosen ? characters->text() : nullptr, true, true));
}

Value round_number(TemplateRenderer&, const Value& value, const Arguments& a) {
  a.check("round", 2, {"precision", "method"});
  DS_CHECK(value.is_number(), "round needs a number, not a {}", value.type_name());
  const int64_t precision = template_whole(a, 0, "precision", 0);
  const Value* method = a.get(1, "method");
  const std::string how = method == nullptr ? "common" : to_text(*method);
  DS_CHECK(precision >= 0 && precision <= 15, "rounding to {} digits is not supported", precision);
  if (how == "common") {
    if (value.is_integer()) return Value(value.integer());
    return Value(std::stod(fmt::format("{:.{}f}", value.number(), precision)));
  }
  DS_CHECK(how == "ceil" || how == "floor", "the method of rounding must be common, ceil or floor, not {}",
           quote(how));
  const double scale = std::pow(10.0, static_cast<double>(precision));
  return Value((how == "ceil" ? std::ceil(value.number() * scale) : std::floor(value.number() * scale)) /
               scale);
}

std::optional<double> parse_number(const std::string& given) {
  const std::string text = python_strip(given, nullptr, true, true);
  DS_CHECK(text.find('_') == std::string::npos, "numbers with underscores are not supported");
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const char* end = text.data() + text.size();
  double number = 0;
  const auto read = std::from_chars(begin, end, number);
  if (read.ec == std::errc::result_out_of_range) base::fail("the number {} is too large", quote(text));
  return begin != end && read.ec == std::errc{} && read.ptr == end ? std::optional(number) : std::nullopt;
}

Value to_whole(TemplateRenderer&, const Value& value, const Arguments& a) {
  a.check("int", 2, {"default", "base"});
  DS_CHECK(template_whole(a, 1, "base", 10) == 10, "numbers to another base than 10 are not supported");
  const Value otherwise = a.get(0, "default") != nullptr ? *a.get(0, "default") : Value(int64_t{0});
  if (value.is_integer()) return Value(value.integer());
  double number = 0;
  if (value.as<double>() != nullptr) {
    number = *value.as<double>();
  } else if (value.text() != nullptr) {
    const std::string text = python_strip(*value.text(), nullptr, true, true);
    const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
    int64_t parsed = 0;
    const auto read = std::from_chars(begin, text.data() + text.size(), parsed);
    if (read.ec == std::errc{} && read.ptr == text.data() + text.size() && begin != read.ptr)
      return Value(parsed);
    const auto fraction = parse_number(text);
    if (!fraction) return otherwise;
    number = *fraction;
  } else {
    return otherwise;
  }
  if (std::isnan(number) || std::isinf(number)) return otherwise;
  DS_CHECK(std::abs(number) < 9.2e18, "a whole number needs more than 64 bits");
  return Value(static_cast<int64_t>(number));
}

Value to_fraction(TemplateRenderer&, const Value& value, const Arguments& a) {
  a.check("float", 1, {"default"});
  if (value.is_number()) return Value(value.number());
  const auto parsed = value.text() != nullptr ? parse_number(*value.text()) : std::nullopt;
  if (parsed) return Value(*parsed);
  return a.get(0, "default") != nullptr ? *a.get(0, "default") : Value(0.0);
}

Value absolute(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("abs", 0, {});
  DS_CHECK(value.is_number(), "abs needs a number, not a {}", value.type_name());
  if (!value.is_integer()) return Value(std::abs(value.number()));
  return value.integer() < 0 ? r.arithmetic("-", Value(int64_t{0}), value) : Value(value.integer());
}

Value escape(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("escape", 0, {});
  std::string out;
  for (const char c : template_text(r, value)) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '\'')
      out += "&#39;";
    else if (c == '"')
      out += "&#34;";
    else
      out += c;
  }
  r.spend(out.size());
  return Value(std::move(out), /*markup=*/true);
}

Value tojson(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("tojson", 4, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = template_flag(a, 0, "ensure_ascii", false);
  style.sort_keys = template_flag(a, 3, "sort_keys", false);
  if (const Value* given = a.get(1, "indent"); given != nullptr && !given->is_none()) {
    style.indents = true;
    style.item_separator = ",";
    const int64_t width = given->text() != nullptr ? 0 : template_whole(a, 1, "indent", 0);
    DS_CHECK(width <= 1000, "an indent of {} is too wide", width);
    style.indent = given->text() != nullptr
                       ? *given->text()
                       : std::string(static_cast<size_t>(std::max<int64_t>(0, width)), ' ');
  }
  if (const Value* given = a.get(2, "separators"); given != nullptr && !given->is_none()) {
    const auto* parts = given->items();
    DS_CHECK(parts != nullptr && parts->size() == 2 && (*parts)[0].text() != nullptr &&
                 (*parts)[1].text() != nullptr,
             "tojson: separators are two texts");
    style.item_separator = *(*parts)[0].text();
    style.key_separator = *(*parts)[1].text();
  }
  DS_CHECK(style.indent.size() <= 1000 && style.item_separator.size() <= 1000 &&
               style.key_separator.size() <= 1000,
           "tojson: a separator is too long");
  return r.text(to_json(value, style));
}

}  // namespace

const std::map<std::string_view, TemplateFilter>& scalar_template_filters() {
#define DS_FILTER(...) \
  [](TemplateRenderer& r, const Value& v, const Arguments& a) -> Value { return __VA_ARGS__; }
  static const std::map<std::string_view, TemplateFilter> table = {
      {"abs", absolute},
      {"capitalize",
       DS_FILTER((a.check("capitalize", 0, {}), r.text(python_capitalize(template_text(r, v)))))},
      {"e", escape},
      {"escape", escape},
      {"float", to_fraction},
      {"forceescape", escape},
      {"indent", indent},
      {"int", to_whole},
      {"lower", DS_FILTER((a.check("lower", 0, {}), r.text(python_lower(template_text(r, v)))))},
      {"replace", replace},
      {"round", round_number},
      {"safe", DS_FILTER((a.check("safe", 0, {}), Value(template_text(r, v), /*markup=*/true)))},
      {"string", DS_FILTER((a.check("string", 0, {}), v.text() != nullptr ? v : r.text(to_text(v))))},
      {"title", title},
      {"tojson", tojson},
      {"trim", trim},
      {"upper", DS_FILTER((a.check("upper", 0, {}), r.text(python_upper(template_text(r, v)))))},
  };
#undef DS_FILTER
  return table;
}

}  // namespace deepspeed::text
