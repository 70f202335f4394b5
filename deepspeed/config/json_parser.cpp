#include "deepspeed/config/json_parser.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "deepspeed/base/error.h"
#include "deepspeed/config/json_text.h"

namespace deepspeed::config {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

}  // namespace

Document JsonParser::parse() {
  if (text_.size() > kMaxTextBytes)
    base::fail("{}: {} bytes are more than a configuration may have ({})", name_, text_.size(),
               kMaxTextBytes);
  if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
  check_utf8();
  Document document{name_, {}, {}};
  skip();
  if (at_end()) fail_at(position(), "the text is empty; a configuration is a JSON object, at least {}");
  if (peek() != '{')
    fail_at(position(), "a configuration is a JSON object and starts with '{', not with " + found());
  value(document.json, document.positions, 1);
  skip();
  if (!at_end()) fail_at(position(), "the object is complete, yet " + found() + " follows");
  return document;
}

void JsonParser::value(Json& out, PositionTree& tree, int depth) {
  if (depth > kMaxDepth) fail_at(position(), fmt::format("nested deeper than {} levels", kMaxDepth));
  if (at_end()) fail_at(position(), "a value is missing: the text ends here");
  switch (peek()) {
    case '{':
      return object(out, tree, depth);
    case '[':
      return array(out, tree, depth);
    case '"':
    case '\'':
      out = quoted();
      return;
    default:
      out = bare_value();
  }
}

void JsonParser::object(Json& out, PositionTree& tree, int depth) {
  out = Json::object();
  // Appending straight to the vector: insertion by key would compare with every earlier member.
  auto& members = out.get_ref<Json::object_t&>();
  Position opened = position();
  advance();
  for (;;) {
    skip();
    if (at_end())
      fail_at(position(), fmt::format("'}}' is missing for the '{{' of {}:{}", opened.line, opened.column));
    if (peek() == '}') break;
    PositionTree child{position(), {}};
    std::string name = key();
    if (name.size() > kMaxKeyBytes)
      fail_at(child.position,
              fmt::format("a key of {} bytes; at most {} are read", name.size(), kMaxKeyBytes));
    if (std::any_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }))
      fail_at(child.position, "a key holds a control character");  // messages name keys in one line
    skip();
    if (at_end() || peek() != ':')
      fail_at(position(), fmt::format("expected ':' after key '{}', not {}", name, found()));
    advance();
    skip();
    Json member;
    value(member, child, depth + 1);
    members.push_back({std::move(name), std::move(member)});
    tree.children.push_back(std::move(child));
    separator('}');
  }
  advance();
  check_duplicates(out, tree);
}

void JsonParser::array(Json& out, PositionTree& tree, int depth) {
  out = Json::array();
  Position opened = position();
  advance();
  for (;;) {
    skip();
    if (at_end())
      fail_at(position(), fmt::format("']' is missing for the '[' of {}:{}", opened.line, opened.column));
    if (peek() == ']') break;
    PositionTree child{position(), {}};
    Json element;
    value(element, child, depth + 1);
    out.push_back(std::move(element));
    tree.children.push_back(std::move(child));
    separator(']');
  }
  advance();
}

void JsonParser::separator(char close) {
  bool new_line = skip();
  if (at_end() || peek() == close) return;
  if (peek() == ',') return advance();
  if (!new_line)
    fail_at(position(),
            fmt::format("expected ',' or '{}', not {}; texts of several words need quotes", close, found()));
}

void JsonParser::check_duplicates(const Json& object, const PositionTree& tree) const {
  std::map<std::string_view, Position> seen;
  std::string twice;
  Position at;
  size_t index = 0;
  for (auto it = object.begin(); it != object.end(); ++it, ++index) {
    Position here = tree.children[index].position;
    auto [first, fresh] = seen.emplace(it.key(), here);
    if (fresh) continue;
    if (twice.empty()) at = here;
    if (twice.size() < 400)
      twice += fmt::format("{}'{}' (first at {}:{})", twice.empty() ? "" : ", ", it.key(), first->second.line,
                           first->second.column);
  }
  if (!twice.empty()) fail_at(at, "keys given twice in one object: " + twice);
}

std::string JsonParser::key() {
  if (peek() == '"' || peek() == '\'') return quoted();
  Position at = position();
  std::string_view token = bare_token();
  if (token.empty()) fail_at(at, "expected a key, not " + found());
  return std::string(token);
}

std::string_view JsonParser::bare_token() {
  size_t start = offset_;
  while (!at_end() && !is_blank(peek()) &&
         std::string_view(",:[]{}\"'#").find(peek()) == std::string_view::npos && !starts_with("//") &&
         !starts_with("/*"))
    advance();
  return text_.substr(start, offset_ - start);
}

Json JsonParser::bare_value() {
  Position at = position();
  std::string_view token = bare_token();
  if (token.empty()) fail_at(at, "expected a value, not " + found());
  if (token == "true") return true;
  if (token == "false") return false;
  if (token == "null") return nullptr;
  if (is_digit(token[0]) || token[0] == '-' || token[0] == '+' || token[0] == '.') return number(token, at);
  if (token == "NaN" || token == "Infinity" || token == "nan" || token == "inf")
    fail_at(at, fmt::format("{} is not a JSON number", token));
  return std::string(token);
}

Json JsonParser::number(std::string_view token, Position at) const {
  bool whole = false;
  if (!is_json_number(token, whole))
    fail_at(at, fmt::format("'{}' is not a JSON number", token.substr(0, 40)));
  const char* end = token.data() + token.size();
  int64_t integer = 0;
  if (whole && std::from_chars(token.data(), end, integer).ec == std::errc{}) return integer;
  double real = 0;
  if (std::from_chars(token.data(), end, real).ec != std::errc{} || !std::isfinite(real))
    fail_at(at, fmt::format("the number {} is out of range", token.substr(0, 40)));
  return real;
}

std::string JsonParser::quoted() {
  Position opened = position();
  if (starts_with("'''"))
    fail_at(opened, "texts over several lines (''') are not read; write \"...\" with \\n");
  char quote = peek();
  advance();
  std::string out;
  for (;;) {
    if (at_end() || peek() == '\n')
      fail_at(opened, fmt::format("the text that starts here has no closing {}", quote));
    char c = peek();
    if (c == quote) break;
    if (static_cast<unsigned char>(c) < 0x20)
      fail_at(position(), "a control character in a text; write it as \\u00XX");
    if (c == '\\') {
      escape(out);
    } else {
      out.push_back(c);
      advance();
    }
  }
  advance();
  return out;
}

void JsonParser::escape(std::string& out) {
  Position at = position();
  advance();
  static constexpr std::string_view kFrom = "\"'\\/bfnrt", kTo = "\"'\\/\b\f\n\r\t";
  char c = at_end() ? '\0' : peek();
  if (size_t i = kFrom.find(c); c != '\0' && i != std::string_view::npos) {
    advance();
    out.push_back(kTo[i]);
    return;
  }
  if (c != 'u') fail_at(at, "unknown escape; JSON has \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
  unsigned code = hex4();
  if (code >= 0xD800 && code < 0xDC00) {
    if (!starts_with("\\u")) fail_at(at, "a high surrogate without its low half");
    advance();
    unsigned low = hex4();
    if (low < 0xDC00 || low > 0xDFFF) fail_at(at, "a high surrogate without its low half");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  } else if (code >= 0xDC00 && code <= 0xDFFF) {
    fail_at(at, "a low surrogate without its high half");
  }
  append_utf8(out, code);
}

unsigned JsonParser::hex4() {
  advance();  // the 'u'
  std::string_view digits = text_.substr(std::min(offset_, text_.size()), 4);
  unsigned code = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
  if (error != std::errc{} || digits.size() != 4 || end != digits.data() + 4)
    fail_at(position(), "\\u needs four hexadecimal digits");
  for (int i = 0; i < 4; ++i) advance();
  return code;
}

bool JsonParser::skip() {
  int line = line_;
  while (!at_end()) {
    if (is_blank(peek())) {
      advance();
    } else if (peek() == '#' || starts_with("//")) {
      while (!at_end() && peek() != '\n') advance();
    } else if (starts_with("/*")) {
      skip_block_comment();
    } else {
      break;
    }
  }
  return line_ != line;
}

void JsonParser::skip_block_comment() {
  Position opened = position();
  advance();
  advance();
  while (!starts_with("*/")) {
    if (at_end()) fail_at(opened, "the comment that starts here has no closing */");
    advance();
  }
  advance();
  advance();
}

void JsonParser::advance() {
  if (text_[offset_] == '\n') {
    ++line_;
    line_start_ = offset_ + 1;
  }
  ++offset_;
}

Position JsonParser::position() const { return {line_, static_cast<int>(offset_ - line_start_) + 1}; }

void JsonParser::check_utf8() const {
  int line = 1;
  size_t line_start = 0;
  for (size_t i = 0; i < text_.size();) {
    size_t length = utf8_length(text_.substr(i, 4));
    if (length == 0)
      fail_at({line, static_cast<int>(i - line_start) + 1},
              fmt::format("invalid UTF-8 (byte 0x{:02x})", static_cast<unsigned char>(text_[i])));
    if (text_[i] == '\n') {
      ++line;
      line_start = i + 1;
    }
    i += length;
  }
}

std::string JsonParser::found() const {
  if (at_end()) return "the end of the text";
  unsigned char c = static_cast<unsigned char>(peek());
  if (c < 0x20 || c == 0x7F) return fmt::format("byte 0x{:02x}", c);
  return fmt::format("'{}'", text_.substr(offset_, utf8_length(text_.substr(offset_, 4))));
}

void JsonParser::fail_at(Position at, const std::string& what) const {
  base::fail("{}:{}:{}: {}", name_, at.line, at.column, what);
}

}  // namespace deepspeed::config
