// How values look: Python's str, repr and json.dumps.
#include <unicode/uchar.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "deepspeed/base/error.h"
#include "deepspeed/text/template_value.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

constexpr uint8_t kPythonsUnicode = 14;  // of Python 3.11

// str.isprintable
bool is_printable(uint32_t c) {
  if (c < 0x7F) return c >= 0x20;
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(c), age);
  if (age[0] == 0 || age[0] > kPythonsUnicode) return false;
  constexpr uint32_t kHidden = U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CS_MASK | U_GC_CO_MASK | U_GC_CN_MASK |
                               U_GC_ZL_MASK | U_GC_ZP_MASK | U_GC_ZS_MASK;
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & kHidden) == 0;
}

std::string repr_of_text(const std::string& text) {
  const char quote_mark =
      text.find('\'') != std::string::npos && text.find('"') == std::string::npos ? '"' : '\'';
  std::string out(1, quote_mark);
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t c = next_code_point(text, at);
    if (c == static_cast<uint32_t>(quote_mark) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_printable(c)) {
      out.append(text, begin, at - begin);
    } else {
      out += c < 0x100     ? fmt::format("\\x{:02x}", c)
             : c < 0x10000 ? fmt::format("\\u{:04x}", c)
                           : fmt::format("\\U{:08x}", c);
    }
  }
  return out + quote_mark;
}

// The shortest digits that read back as the number, laid out as Python does.
std::string repr_of_number(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::scientific).ptr;
  std::string digits(buffer, end);
  const size_t e = digits.find('e');
  const int exponent = std::stoi(digits.substr(e + 1));
  if (exponent < -4 || exponent >= 16) {
    return fmt::format("{}e{}{:02d}", digits.substr(0, e), exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::fixed).ptr;
  std::string out(buffer, fixed);
  return out.find('.') == std::string::npos ? out + ".0" : out;
}

void append_repr(const TemplateValue& value, std::string& out) {
  if (const std::string* text = value.text()) {
    out += value.is_markup() ? "Markup(" + repr_of_text(*text) + ")" : repr_of_text(*text);
  } else if (const auto* items = value.items()) {
    using List = TemplateList::Kind;
    DS_CHECK(!value.is(List::kGenerator) && !value.is(List::kRange), "writing a {} is not supported",
             value.type_name());
    const bool view = !value.is_sequence();
    if (view) out += std::string(value.type_name()) + "(";
    out += value.is_tuple() ? '(' : '[';
    for (size_t i = 0; i < items->size(); ++i) {
      if (i > 0) out += ", ";
      append_repr((*items)[i], out);
    }
    if (value.is_tuple() && items->size() == 1) out += ',';
    out += value.is_tuple() ? ')' : ']';
    if (view) out += ')';
  } else if (const auto* pairs = value.pairs()) {
    out += '{';
    for (size_t i = 0; i < pairs->size(); ++i) {
      if (i > 0) out += ", ";
      append_repr((*pairs)[i].first, out);
      out += ": ";
      append_repr((*pairs)[i].second, out);
    }
    out += '}';
  } else if (value.is_undefined()) {
    out += "Undefined";
  } else {
    out += to_text(value);
  }
}

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, std::string& out) : style_(style), out_(out) {}

  void write(const TemplateValue& value, int level) {
    if (const std::string* text = value.text()) {
      string(*text);
    } else if (const auto* items =
                   value.is(TemplateList::Kind::kList) || value.is_tuple() ? value.items() : nullptr) {
      open('[', items->empty());
      for (size_t i = 0; i < items->size(); ++i) {
        begin_item(i, level + 1);
        write((*items)[i], level + 1);
      }
      close(']', items->empty(), level);
    } else if (value.pairs() != nullptr) {
      dict(*value.pairs(), level);
    } else {
      out_ += scalar(value);
    }
  }

 private:
  static std::string scalar(const TemplateValue& value) {
    if (value.is_none()) return "null";
    if (const bool* truth = value.as<bool>()) return *truth ? "true" : "false";
    if (const double* number = value.as<double>()) {
      if (std::isnan(*number)) return "NaN";
      if (std::isinf(*number)) return *number > 0 ? "Infinity" : "-Infinity";
      return repr_of_number(*number);
    }
    DS_CHECK(value.is_integer(), "tojson: an object of type {} is not JSON serializable", value.type_name());
    return fmt::format("{}", value.integer());
  }

  void dict(const TemplateValue::Pairs& pairs, int level) {
    std::vector<const std::pair<TemplateValue, TemplateValue>*> order;
    for (const auto& pair : pairs) order.push_back(&pair);
    if (style_.sort_keys)
      std::stable_sort(order.begin(), order.end(),
                       [](const auto* a, const auto* b) { return less(a->first, b->first); });
    open('{', pairs.empty());
    for (size_t i = 0; i < order.size(); ++i) {
      begin_item(i, level + 1);
      const TemplateValue& key = order[i]->first;
      DS_CHECK(key.text() != nullptr || key.is_none() || key.is_number(),
               "tojson: a key of type {} is not a text", key.type_name());
      string(key.text() != nullptr ? *key.text() : scalar(key));
      out_ += style_.key_separator;
      write(order[i]->second, level + 1);
    }
    close('}', pairs.empty(), level);
  }

  void open(char bracket, bool) { out_ += bracket; }
  void begin_item(size_t index, int level) {
    if (index > 0) out_ += style_.item_separator;
    if (style_.indents) line(level);
  }
  void close(char bracket, bool empty, int level) {
    if (style_.indents && !empty) line(level);
    out_ += bracket;
  }
  void line(int level) {
    out_ += '\n';
    for (int i = 0; i < level; ++i) out_ += style_.indent;
  }

  void string(const std::string& text) {
    out_ += '"';
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      const uint32_t c = next_code_point(text, at);
      constexpr std::string_view kSpecial = "\"\\\n\r\t\f\b", kEscaped = "\"\\nrtfb";
      if (const size_t known = c < 0x80 ? kSpecial.find(static_cast<char>(c)) : std::string_view::npos;
          known != std::string_view::npos) {
        out_ += '\\';
        out_ += kEscaped[known];
      } else if (c < 0x20 || (style_.ensure_ascii && c > 0x7E)) {
        unit(c);
      } else {
        out_.append(text, begin, at - begin);
      }
    }
    out_ += '"';
  }
  void unit(uint32_t c) {
    if (c < 0x10000) {
      out_ += fmt::format("\\u{:04x}", c);
    } else {
      out_ +=
          fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((c - 0x10000) >> 10), 0xDC00 + ((c - 0x10000) & 0x3FF));
    }
  }

  const JsonStyle& style_;
  std::string& out_;
};

}  // namespace

std::string to_text(const TemplateValue& value) {
  if (value.is_undefined()) return "";
  if (value.is_none()) return "None";
  if (const bool* truth = value.as<bool>()) return *truth ? "True" : "False";
  if (const int64_t* number = value.as<int64_t>()) return fmt::format("{}", *number);
  if (const double* number = value.as<double>()) return repr_of_number(*number);
  if (const std::string* text = value.text()) return *text;
  DS_CHECK(value.items() != nullptr || value.pairs() != nullptr, "a {} has no text", value.type_name());
  return repr(value);
}

std::string repr(const TemplateValue& value) {
  std::string out;
  append_repr(value, out);
  return out;
}

std::string to_json(const TemplateValue& value, const JsonStyle& style) {
  std::string out;
  JsonWriter(style, out).write(value, 0);
  return out;
}

}  // namespace deepspeed::text
