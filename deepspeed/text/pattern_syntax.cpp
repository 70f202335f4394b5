#include "deepspeed/text/pattern_syntax.h"

#include <cctype>
#include <optional>

#include "deepspeed/base/error.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

constexpr int kMaxDepth = 50;
constexpr int kMaxRepeat = 1000;
constexpr size_t kMaxPatternBytes = 16384;

struct Escape {
  CodePointSet set;
  std::optional<uint32_t> literal;  // when the escape stands for one code point
};

class Parser {
 public:
  Parser(std::string_view pattern, std::string_view where) : pattern_(pattern), where_(where) {}

  PatternSyntax parse() {
    if (pattern_.size() > kMaxPatternBytes) refuse("more than 16 KiB");
    alternation(0, false);
    if (!done()) refuse("a ')' without '('");
    return std::move(syntax_);
  }

 private:
  bool done() const { return at_ >= pattern_.size(); }
  bool next_is(char c) const { return !done() && pattern_[at_] == c; }
  bool take(std::string_view text) {
    if (!pattern_.substr(at_).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }
  [[noreturn]] void refuse(std::string_view what) const {
    base::fail("{}: the pattern {} has {} at byte {}, which is not supported", where_, quote(pattern_), what,
               at_);
  }
  void operators(std::string_view text) { syntax_.items.push_back({std::string(text), -1}); }
  void set(CodePointSet set) {
    syntax_.items.push_back({"", static_cast<int>(syntax_.sets.size())});
    syntax_.sets.push_back(std::move(set));
  }

  void alternation(int depth, bool caseless) {
    if (depth > kMaxDepth) refuse("too many nested groups");
    char previous = 0;  // the literal before, for the foldings of several letters into one
    while (!done() && !next_is(')')) {
      if (take("|")) {
        operators("|");
        previous = 0;
      } else if (next_is('(')) {
        group(depth, caseless);
        previous = 0;
      } else {
        previous = single(caseless, previous);
      }
    }
  }

  void group(int depth, bool caseless) {
    bool looks_around = true;
    if (take("(?=")) {
      operators("(?=");
    } else if (take("(?!")) {
      operators("(?!");
    } else if (take("(?<=")) {
      operators("(?<=");
    } else if (take("(?<!")) {
      operators("(?<!");
    } else {
      looks_around = false;
      if (take("(?i:")) {
        caseless = true;
      } else if (!take("(?:")) {
        at_ += 1;
        if (next_is('?')) refuse("a group option");
      }
      operators("(?:");
    }
    alternation(depth + 1, caseless);
    if (!take(")")) refuse("a '(' without ')'");
    operators(")");
    if (looks_around && !done() && std::string_view("*+?{").find(pattern_[at_]) != std::string_view::npos) {
      refuse("a repeated lookaround");
    }
    if (next_is('{')) refuse("a counted group");  // the engines differ where a round matches nothing
    quantifier();
  }

  // Returns the ASCII letter it was, or 0.
  char single(bool caseless, char previous) {
    char letter = 0;
    if (next_is('[')) {
      set(char_class(caseless));
    } else if (take(".")) {
      set(CodePointSet::of('\n', '\n').complement());
    } else {
      const Escape what = next_is('\\') ? escape(caseless) : literal();
      if (what.literal && caseless) check_folding(*what.literal, previous);
      if (what.literal && *what.literal < 128)
        letter = static_cast<char>(std::tolower(static_cast<int>(*what.literal)));
      set(what.literal ? fold(*what.literal, caseless) : what.set);
    }
    quantifier();
    return letter;
  }

  Escape literal() {
    if (std::string_view("*+?{^$").find(pattern_[at_]) != std::string_view::npos) {
      refuse(std::string("a bare '") + pattern_[at_] + "'");
    }
    return {{}, next_code_point(pattern_, at_)};
  }

  // Case folding of ASCII letters as Oniguruma knows it: s also folds with U+017F, k with U+212A.
  CodePointSet fold(uint32_t c, bool caseless) {
    CodePointSet out = CodePointSet::of(c, c);
    if (!caseless) return out;
    if (c > 127) refuse("a non-ASCII character in (?i:)");
    if (!std::isalpha(static_cast<int>(c))) return out;
    const uint32_t lower = c | 0x20;
    out.add(lower, lower);
    out.add(c & ~0x20u, c & ~0x20u);
    if (lower == 's') out.add(0x17F, 0x17F);
    if (lower == 'k') out.add(0x212A, 0x212A);
    return out;
  }

  void check_folding(uint32_t c, char previous) const {
    const uint32_t lower = c < 128 ? static_cast<uint32_t>(std::tolower(static_cast<int>(c))) : 0;
    const bool one_letter = (previous == 's' && (lower == 's' || lower == 't')) ||
                            (previous == 'f' && (lower == 'f' || lower == 'i' || lower == 'l'));
    if (one_letter) refuse("letters in (?i:) that fold with a ligature");
  }

  Escape escape(bool caseless) {
    at_ += 1;
    if (done()) refuse("a trailing backslash");
    const char c = pattern_[at_++];
    const CodePointSet space(kRegexSpaceRanges, kRegexSpaceRangeCount);
    const CodePointSet word(kRegexWordRanges, kRegexWordRangeCount);
    switch (c) {
      case 's':
        return {space, {}};
      case 'S':
        return {space.complement(), {}};
      case 'w':
        return {word, {}};
      case 'W':
        return {word.complement(), {}};
      case 'd':
        return {*CodePointSet::of_category("Nd"), {}};
      case 'D':
        return {CodePointSet::of_category("Nd")->complement(), {}};
      case 'p':
      case 'P':
        return {category(c == 'P', caseless), {}};
      case 'n':
        return {{}, '\n'};
      case 'r':
        return {{}, '\r'};
      case 't':
        return {{}, '\t'};
      case 'f':
        return {{}, '\f'};
      case 'v':
        return {{}, '\v'};
      case 'a':
        return {{}, '\a'};
      case 'e':
        return {{}, 0x1B};
      case 'x':
        return {{}, take("{") ? hex(1, 6, true) : hex(2, 2, false)};
      case 'u':
        return {{}, hex(4, 4, false)};
      default:
        break;
    }
    if (static_cast<unsigned char>(c) > 127 || std::isalnum(static_cast<unsigned char>(c))) {
      refuse(std::string("the escape '\\") + (static_cast<unsigned char>(c) > 127 ? '?' : c) + "'");
    }
    return {{}, static_cast<unsigned char>(c)};
  }

  uint32_t hex(size_t least, size_t most, bool braces) {
    uint32_t value = 0;
    size_t digits = 0;
    for (; digits < most && !done() && std::isxdigit(static_cast<unsigned char>(pattern_[at_]));
         ++digits, ++at_) {
      const char c = static_cast<char>(pattern_[at_] | 0x20);
      value = value * 16 + static_cast<uint32_t>(c >= 'a' ? c - 'a' + 10 : (c & 0xF));
    }
    if (digits < least || (braces && !take("}"))) refuse("a malformed hexadecimal escape");
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) refuse("an escape that is not a character");
    return value;
  }

  CodePointSet category(bool negated, bool caseless) {
    if (caseless) refuse("a Unicode property in (?i:)");
    if (!take("{")) refuse("a property without braces");
    if (take("^")) negated = !negated;
    const size_t close = pattern_.find('}', at_);
    if (close == std::string_view::npos) refuse("a property without '}'");
    const std::string_view name = pattern_.substr(at_, close - at_);
    const auto found = CodePointSet::of_category(name);
    if (!found) refuse("the property " + quote(name));
    at_ = close + 1;
    return negated ? found->complement() : *found;
  }

  CodePointSet char_class(bool caseless, int depth = 0) {
    if (depth > kMaxDepth) refuse("too many nested classes");
    at_ += 1;
    const bool negated = take("^");
    if (next_is(']')) refuse("a class that starts with ']'");
    CodePointSet out;
    for (bool first = true; !take("]"); first = false) {
      if (next_is('[')) {
        if (pattern_.substr(at_).starts_with("[:")) refuse("a POSIX bracket");
        out.add(char_class(caseless, depth + 1));  // a class within a class joins it
      } else {
        class_item(out, caseless, first);
      }
    }
    return negated ? out.complement() : out;
  }

  void class_item(CodePointSet& out, bool caseless, bool first) {
    if (done()) refuse("a class without ']'");
    if (pattern_.substr(at_).starts_with("&&")) refuse("a class intersection");
    if (next_is('-') && !first && !pattern_.substr(at_).starts_with("-]"))
      refuse("a '-' that is not a range");
    const Escape low = next_is('\\') ? escape(caseless) : Escape{{}, next_code_point(pattern_, at_)};
    const std::string_view rest = pattern_.substr(at_);
    const bool is_range = rest.starts_with("-") && !rest.starts_with("-]");
    if (!low.literal) {
      if (is_range) refuse("a range that starts with a class");
      out.add(low.set);
    } else if (!is_range) {
      out.add(fold(*low.literal, caseless));
    } else {
      at_ += 1;
      if (done() || next_is('[')) refuse("a malformed range");
      const Escape high = next_is('\\') ? escape(caseless) : Escape{{}, next_code_point(pattern_, at_)};
      if (!high.literal || *high.literal < *low.literal) refuse("a malformed range");
      if (caseless && *high.literal > 127) refuse("a non-ASCII range in (?i:)");
      if (!caseless) out.add(*low.literal, *high.literal);
      for (uint32_t c = *low.literal; caseless && c <= *high.literal; ++c) out.add(fold(c, true));
    }
  }

  void quantifier() {
    if (done()) return;
    if (next_is('{')) {
      counted_quantifier();
    } else if (next_is('*') || next_is('+') || next_is('?')) {
      std::string text(1, pattern_[at_++]);
      if (next_is('+') || next_is('?')) text += pattern_[at_++];
      operators(text);
    }
    if (next_is('*') || next_is('+') || next_is('?') || next_is('{'))
      refuse("a quantifier after a quantifier");
  }

  // Oniguruma reads {n}? and {n,m}+ in its own way, hence neither may follow.
  void counted_quantifier() {
    at_ += 1;
    const std::optional<int> low = number();
    std::optional<int> high = low;
    const bool comma = take(",");
    if (comma) high = number();
    if (!take("}") || (!low && !high) || (low && high && *low > *high)) refuse("a malformed {} quantifier");
    const std::string last = !comma ? "" : high ? fmt::format(",{}", *high) : ",";
    operators(fmt::format("{{{}{}}}", low.value_or(0), last));
  }

  std::optional<int> number() {
    if (done() || !std::isdigit(static_cast<unsigned char>(pattern_[at_]))) return std::nullopt;
    int value = 0;
    for (; !done() && std::isdigit(static_cast<unsigned char>(pattern_[at_])); ++at_) {
      value = value * 10 + (pattern_[at_] - '0');
      if (value > kMaxRepeat) refuse("a repeat of more than 1000");
    }
    return value;
  }

  std::string_view pattern_;
  std::string_view where_;
  size_t at_ = 0;
  PatternSyntax syntax_;
};

}  // namespace

PatternSyntax parse_pattern(std::string_view pattern, std::string_view where) {
  return Parser(pattern, where).parse();
}

}  // namespace deepspeed::text
