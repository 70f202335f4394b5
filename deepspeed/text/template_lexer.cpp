#include "deepspeed/text/template_lexer.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "deepspeed/base/error.h"
#include "deepspeed/text/code_point_set.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

using Kind = TemplateToken::Kind;

bool is_name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_part(char c) { return is_name_start(c) || is_digit(c); }
// \s of Python's patterns, where it is ASCII; the rest is looked up.
bool is_space(uint32_t c) { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); }

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& name) : name_(name) {
    check_utf8(source, name);
    source_.reserve(source.size());
    for (size_t i = 0; i < source.size(); ++i) {
      if (source[i] == '\r') {
        source_ += '\n';
        if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
      } else {
        source_ += source[i];
      }
    }
    if (source_.ends_with('\n')) source_.pop_back();
  }

  std::vector<TemplateToken> run() {
    while (at_ < source_.size()) root();
    push(Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(std::string_view what) const { fail_template(name_, line_, what); }
  bool next_is(std::string_view text) const {
    return std::string_view(source_).substr(at_).starts_with(text);
  }
  void push(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  void advance(size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(at_),
                                         source_.begin() + static_cast<ptrdiff_t>(to), '\n'));
    at_ = to;
  }
  void skip_spaces() {
    size_t at = at_;
    for (size_t next = at; next < source_.size() && is_space(next_code_point(source_, next)); at = next) {
    }
    advance(at);
  }

  // Text up to the next tag, and the tag.
  void root() {
    size_t tag = at_;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == std::string::npos || tag + 1 >= source_.size()) {
        data(source_.size(), '\0', false);
        return;
      }
      const char kind = source_[tag + 1];
      if (kind == '%' || kind == '{' || kind == '#') break;
      ++tag;
    }
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    const bool signed_tag = sign == '-' || sign == '+';
    data(tag, signed_tag ? sign : '\0', kind != '{');
    const size_t inside = tag + (signed_tag ? 3 : 2);
    if (kind == '#') return comment(inside);
    if (kind == '%' && raw(inside)) return;
    advance(inside);
    push(kind == '%' ? Kind::kBlockBegin : Kind::kVariableBegin, "");
    expression(kind == '%');
  }

  void data(size_t end, char sign, bool strips_line) {
    std::string text = source_.substr(at_, end - at_);
    if (sign == '-') {
      size_t keep = text.size();
      for (size_t at = keep; at > 0 && is_space(previous_code_point(text, at)); keep = at) {
      }
      text.resize(keep);
    } else if (sign != '+' && strips_line) {
      const size_t newline = text.rfind('\n');
      const size_t line = newline == std::string::npos ? 0 : newline + 1;
      bool blank = line > 0 || line_starting_;
      for (size_t at = line; blank && at < text.size();) blank = is_space(next_code_point(text, at));
      if (blank) text.resize(line);
    }
    if (end > at_) line_starting_ = source_[end - 1] == '\n';
    if (!text.empty()) push(Kind::kData, std::move(text));
    advance(end);
  }

  // Behind a tag's end: "-" takes all spaces with it, a plain end of a block one newline.
  void after_tag(char sign, bool takes_newline) {
    const size_t before = at_;
    if (sign == '-')
      skip_spaces();
    else if (sign != '+' && takes_newline && next_is("\n"))
      advance(at_ + 1);
    line_starting_ = at_ > before && source_[at_ - 1] == '\n';
  }

  void comment(size_t inside) {
    const size_t end = source_.find("#}", inside);
    if (end == std::string::npos) fail("a comment without '#}'");
    const char sign = end > inside ? source_[end - 1] : '\0';
    advance(end + 2);
    after_tag(sign == '-' || sign == '+' ? sign : '\0', true);
  }

  // {% raw %} ... {% endraw %}
  bool raw(size_t inside) {
    const size_t begin = raw_tag_end(inside, "raw");
    if (begin == std::string::npos) return false;
    const bool strips = source_[begin - 3] == '-';
    advance(begin);
    after_tag(strips ? '-' : '\0', false);
    for (size_t tag = source_.find("{%", at_); tag != std::string::npos; tag = source_.find("{%", tag + 1)) {
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      const bool signed_tag = sign == '-' || sign == '+';
      const size_t end = raw_tag_end(tag + (signed_tag ? 3 : 2), "endraw");
      if (end == std::string::npos) continue;
      data(tag, signed_tag ? sign : '\0', true);
      const char last = source_[end - 3];
      advance(end);
      after_tag(last == '-' || last == '+' ? last : '\0', true);
      return true;
    }
    fail("a raw block without endraw");
  }

  size_t raw_tag_end(size_t at, std::string_view word) const {
    const auto skip = [&] {
      while (at < source_.size() && std::isspace(static_cast<unsigned char>(source_[at])) != 0) ++at;
    };
    skip();
    if (!std::string_view(source_).substr(at).starts_with(word)) return std::string::npos;
    at += word.size();
    skip();
    if (at < source_.size() && (source_[at] == '-' || (source_[at] == '+' && word == "endraw"))) ++at;
    return std::string_view(source_).substr(at).starts_with("%}") ? at + 2 : std::string::npos;
  }

  void expression(bool block) {
    const std::string_view close = block ? "%}" : "}}";
    std::string brackets;
    while (true) {
      skip_spaces();
      if (at_ >= source_.size()) fail(block ? "a tag without '%}'" : "an expression without '}}'");
      if (brackets.empty()) {
        const char sign = source_[at_];
        const bool signed_end = (sign == '-' || (sign == '+' && block)) &&
                                std::string_view(source_).substr(at_ + 1).starts_with(close);
        if (signed_end || next_is(close)) {
          advance(at_ + close.size() + (signed_end ? 1 : 0));
          push(block ? Kind::kBlockEnd : Kind::kVariableEnd, "");
          after_tag(signed_end ? sign : '\0', block);
          return;
        }
      }
      token(brackets);
    }
  }

  void token(std::string& brackets) {
    const char c = source_[at_];
    if (is_name_start(c)) {
      size_t end = at_;
      while (end < source_.size() && is_name_part(source_[end])) ++end;
      push(Kind::kName, source_.substr(at_, end - at_));
      advance(end);
    } else if (is_digit(c)) {
      number();
    } else if (c == '"' || c == '\'') {
      string(c);
    } else {
      operation(brackets);
    }
  }

  void number() {
    size_t end = at_;
    const auto digits = [&] {
      while (end < source_.size() &&
             (is_digit(source_[end]) ||
              (source_[end] == '_' && end + 1 < source_.size() && is_digit(source_[end + 1]))))
        ++end;
    };
    digits();
    bool whole = true;
    if (end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1])) {
      whole = false;
      ++end;
      digits();
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const size_t mantissa = end++;
      if (end < source_.size() && (source_[end] == '+' || source_[end] == '-')) ++end;
      if (end < source_.size() && is_digit(source_[end])) {
        whole = false;
        digits();
      } else {
        end = mantissa;
      }
    }
    if (end < source_.size() && is_name_part(source_[end])) fail("a number that runs into a name");
    std::string text = source_.substr(at_, end - at_);
    std::erase(text, '_');
    if (whole && text.size() > 1 && text[0] == '0' && text.find_first_not_of('0') != std::string::npos)
      fail("a number with leading zeros");
    TemplateToken token{whole ? Kind::kInteger : Kind::kFloat, text, line_};
    const auto read = whole ? std::from_chars(text.data(), text.data() + text.size(), token.integer)
                            : std::from_chars(text.data(), text.data() + text.size(), token.number);
    if (read.ec != std::errc{}) fail("a number that needs more than 64 bits");
    tokens_.push_back(std::move(token));
    advance(end);
  }

  void string(char mark) {
    std::string value;
    size_t at = at_ + 1;
    while (at < source_.size() && source_[at] != mark) {
      if (source_[at] == '\\')
        at = escape(at + 1, value);
      else
        value += source_[at++];
    }
    if (at >= source_.size()) fail("a text without its closing quote");
    push(Kind::kString, std::move(value));
    advance(at + 1);
  }

  // The escapes of Python's strings; others stand for themselves, backslash included.
  size_t escape(size_t at, std::string& value) const {
    if (at >= source_.size()) fail("a text without its closing quote");
    constexpr std::string_view kNames = "\\'\"abfnrtv", kValues = "\\'\"\a\b\f\n\r\t\v";
    const char c = source_[at];
    if (const size_t known = kNames.find(c); known != std::string_view::npos) {
      value += kValues[known];
      return at + 1;
    }
    if (c == '\n') return at + 1;
    if (c == 'N') fail("a character by its name ('\\N')");
    const bool octal = c >= '0' && c <= '7';
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : octal ? 3 : 0;
    if (digits == 0) {
      value += '\\';
      return at;
    }
    size_t end = octal ? at : at + 1;
    const size_t begin = end;
    uint32_t code_point = 0;
    for (; end < source_.size() && end < begin + digits; ++end) {
      const char d = source_[end];
      if (octal ? d < '0' || d > '7' : std::isxdigit(static_cast<unsigned char>(d)) == 0) break;
      const int digit = is_digit(d) ? d - '0' : (d | 0x20) - 'a' + 10;
      code_point = code_point * (octal ? 8 : 16) + static_cast<uint32_t>(digit);
    }
    if (!octal && end != begin + digits) fail("a malformed escape in a text");
    if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point <= 0xDFFF))
      fail("an escape that is no character");
    append_code_point(value, code_point);
    return end;
  }

  void operation(std::string& brackets) {
    constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "*",
                                               "/",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                               ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (const std::string_view text : kOperators) {
      if (!next_is(text)) continue;
      const char c = text[0];
      if (c == '(' || c == '[' || c == '{') brackets += c == '(' ? ')' : c == '[' ? ']' : '}';
      if (c == ')' || c == ']' || c == '}') {
        if (brackets.empty() || brackets.back() != c) fail(fmt::format("an unexpected '{}'", c));
        brackets.pop_back();
      }
      push(Kind::kOperator, std::string(text));
      advance(at_ + text.size());
      return;
    }
    fail("the character " + quote(std::string_view(source_).substr(at_, utf8_length(source_[at_]))));
  }

  const std::string& name_;
  std::string source_;
  std::vector<TemplateToken> tokens_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
};

}  // namespace

void fail_template(const std::string& name, int line, std::string_view what) {
  base::fail("{}: line {}: {}", name, line, what);
}

std::vector<TemplateToken> cut_template(std::string_view source, const std::string& name) {
  return Lexer(source, name).run();
}

}  // namespace deepspeed::text
