#include "deepspeed/text/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <map>

#include "deepspeed/base/error.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {

const std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

constexpr size_t kMaxLetters = 256;
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr uint32_t kHeapLimitKib = 512 * 1024;

std::string byte_class(const std::vector<uint8_t>& letters) {
  if (letters.empty()) return "[^\\x00-\\xff]";
  if (letters.size() == 1) return fmt::format("\\x{:02x}", letters[0]);
  std::string text = "[";
  for (const uint8_t letter : letters) text += fmt::format("\\x{:02x}", letter);
  return text + "]";
}

PatternSyntax syntax_of_text(std::string_view text) {
  PatternSyntax syntax;
  for (size_t at = 0; at < text.size();) {
    const uint32_t c = next_code_point(text, at);
    syntax.items.push_back({"", static_cast<int>(syntax.sets.size())});
    syntax.sets.push_back(CodePointSet::of(c, c));
  }
  return syntax;
}

struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

std::string error_text(int code) {
  PCRE2_UCHAR text[200] = {};
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

struct Pattern::Code {
  explicit Code(pcre2_code* compiled) : compiled(compiled) {}
  ~Code() { pcre2_code_free(compiled); }
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  pcre2_code* compiled;
  bool has_jit = false;
};

Pattern::Pattern(std::string_view pattern, std::string where)
    : Pattern(parse_pattern(pattern, where), where) {}

Pattern Pattern::of_text(std::string_view text, std::string where) {
  DS_CHECK(!text.empty(), "{}: the text to split at is empty", where);
  return Pattern(syntax_of_text(text), std::move(where));
}

Pattern::Pattern(PatternSyntax syntax, std::string where) : where_(std::move(where)) {
  const std::vector<std::string> classes = make_alphabet(syntax.sets);
  std::string text;
  for (const PatternItem& item : syntax.items) {
    text += item.set < 0 ? item.operators : classes[static_cast<size_t>(item.set)];
  }
  int code = 0;
  PCRE2_SIZE offset = 0;
  auto* compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), PCRE2_DOTALL, &code,
                                 &offset, nullptr);
  DS_CHECK(compiled != nullptr, "{}: the pattern does not compile: {}", where_, error_text(code));
  auto made = std::make_shared<Code>(compiled);
  uint32_t matches_empty = 0;
  pcre2_pattern_info(compiled, PCRE2_INFO_MATCHEMPTY, &matches_empty);
  DS_CHECK(matches_empty == 0, "{}: the pattern can match nothing at all, which is not supported", where_);
  made->has_jit = pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE) == 0;
  code_ = std::move(made);
}

// Two code points get the same letter when the same sets hold them. Returns each set as a class of letters.
std::vector<std::string> Pattern::make_alphabet(const std::vector<CodePointSet>& sets) {
  struct Edge {
    uint32_t at;
    uint32_t set;
    bool enters;
  };
  std::vector<Edge> edges;
  for (uint32_t s = 0; s < sets.size(); ++s) {
    for (const CodePointRange& range : sets[s].ranges()) {
      edges.push_back({range.first, s, true});
      edges.push_back({range.last + 1, s, false});
    }
  }
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) { return a.at < b.at; });
  std::map<std::vector<bool>, uint8_t> letters;
  std::vector<bool> inside(sets.size());
  std::vector<std::vector<uint8_t>> classes(sets.size());
  for (size_t e = 0, at = 0; at <= 0x10FFFF; at = e < edges.size() ? edges[e].at : 0x110000) {
    for (; e < edges.size() && edges[e].at == at; ++e) inside[edges[e].set] = edges[e].enters;
    auto [entry, is_new] = letters.try_emplace(inside, static_cast<uint8_t>(letters.size()));
    if (is_new) {
      DS_CHECK(letters.size() <= kMaxLetters, "{}: the pattern tells more than 256 kinds of characters apart",
               where_);
      for (size_t s = 0; s < sets.size(); ++s) {
        if (inside[s]) classes[s].push_back(entry->second);
      }
    }
    boundaries_.push_back({static_cast<uint32_t>(at), entry->second});
  }
  for (uint32_t c = 0; c < 128; ++c) ascii_[c] = letter_of(c);
  std::vector<std::string> text;
  for (const auto& members : classes) text.push_back(byte_class(members));
  return text;
}

uint8_t Pattern::letter_of(uint32_t code_point) const {
  const auto after = std::upper_bound(boundaries_.begin(), boundaries_.end(), code_point,
                                      [](uint32_t value, const Boundary& b) { return value < b.first; });
  return std::prev(after)->letter;
}

// One letter a code point; returns whether the text is ASCII, so that letters and bytes count alike.
bool Pattern::translate(std::string_view utf8, std::string& letters) const {
  letters.resize(utf8.size());
  size_t count = 0;
  for (size_t at = 0; at < utf8.size();) {
    const auto byte = static_cast<unsigned char>(utf8[at]);
    if (byte < 128) {
      letters[count++] = static_cast<char>(ascii_[byte]);
      ++at;
    } else {
      letters[count++] = static_cast<char>(letter_of(next_code_point(utf8, at)));
    }
  }
  letters.resize(count);
  return count == utf8.size();
}

void Pattern::search(std::string_view letters, const std::function<void(size_t, size_t)>& match) const {
  const std::unique_ptr<pcre2_match_data, FreeMatch> data(pcre2_match_data_create(1, nullptr));
  const std::unique_ptr<pcre2_match_context, FreeMatch> context(pcre2_match_context_create(nullptr));
  DS_CHECK(data && context, "{}: out of memory", where_);
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKib);
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(letters.data());
  for (size_t at = 0; at < letters.size();) {
    int found = code_->has_jit ? pcre2_jit_match(code_->compiled, subject, letters.size(), at, 0, data.get(),
                                                 context.get())
                               : PCRE2_ERROR_JIT_STACKLIMIT;
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      found =
          pcre2_match(code_->compiled, subject, letters.size(), at, PCRE2_NO_JIT, data.get(), context.get());
    }
    if (found == PCRE2_ERROR_NOMATCH) return;
    DS_CHECK(found >= 0, "{}: matching failed at character {} of a text of {}: {}", where_, at,
             letters.size(), error_text(found));
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(data.get());
    DS_CHECK(span[1] > at, "{}: the pattern matched nothing at character {}", where_, at);
    match(span[0], span[1]);
    at = span[1];
  }
}

void Pattern::cut(std::string_view utf8, const std::function<void(size_t, size_t, bool)>& piece) const {
  std::string letters;
  const bool ascii = translate(utf8, letters);
  size_t letter = 0, byte = 0, previous = 0;
  const auto byte_of = [&](size_t target) {
    if (ascii) return target;
    for (; letter < target; ++letter) byte += utf8_length(utf8[byte]);
    return byte;
  };
  search(letters, [&](size_t first, size_t last) {
    const size_t begin = byte_of(first), end = byte_of(last);
    if (begin > previous) piece(previous, begin, false);
    piece(begin, end, true);
    previous = end;
  });
  if (previous < utf8.size()) piece(previous, utf8.size(), false);
}

}  // namespace deepspeed::text
