#include "deepspeed/text/nfc.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf16.h>

#include <algorithm>
#include <vector>

#include "deepspeed/base/error.h"
#include "deepspeed/text/rewriting.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

constexpr uint8_t kUnicodeVersion = 9;
constexpr uint32_t kFirstMark = 0x300;  // nothing below takes part in composition with what is below

// A ChangedCharacter with its class.
struct Character {
  uint32_t code_point;
  uint8_t combining_class;
  int change;
};

class Normalizer {
 public:
  explicit Normalizer(bool compatibility) {
    UErrorCode error = U_ZERO_ERROR;
    nfc_ = unorm2_getNFCInstance(&error);
    mappings_ = compatibility ? unorm2_getNFKCInstance(&error) : nfc_;
    DS_CHECK(U_SUCCESS(error), "ICU has no normalization data: {}", u_errorName(error));
  }

  // UAX #15: decompose, order marks; and compose.
  std::vector<Character> decomposed(std::string_view utf8) const {
    std::vector<Character> text;
    for (size_t at = 0; at < utf8.size();) decompose(next_code_point(utf8, at), text);
    order_marks(text);
    return text;
  }
  std::vector<Character> composed(std::string_view utf8) const { return compose(decomposed(utf8)); }

 private:
  // Characters younger than tokenizers' tables are inert.
  static bool is_known(uint32_t c) {
    UVersionInfo age;
    u_charAge(static_cast<UChar32>(c), age);
    return age[0] != 0 && age[0] <= kUnicodeVersion;
  }
  uint8_t combining_class(uint32_t c) const {
    return c < kFirstMark || !is_known(c) ? 0 : unorm2_getCombiningClass(nfc_, static_cast<UChar32>(c));
  }

  void decompose(uint32_t c, std::vector<Character>& out) const {
    UChar units[64];
    UErrorCode error = U_ZERO_ERROR;
    const int32_t count =
        c < 0x80 || !is_known(c)
            ? -1
            : unorm2_getDecomposition(mappings_, static_cast<UChar32>(c), units, 64, &error);
    if (count < 0 || U_FAILURE(error)) {
      out.push_back({c, combining_class(c), 0});
      return;
    }
    for (int32_t i = 0; i < count;) {
      const int change = i == 0 ? 0 : 1;
      UChar32 part = 0;
      U16_NEXT(units, i, count, part);
      out.push_back({static_cast<uint32_t>(part), combining_class(static_cast<uint32_t>(part)), change});
    }
  }

  static void order_marks(std::vector<Character>& text) {
    for (auto begin = text.begin(); begin != text.end();) {
      if (begin->combining_class == 0) {
        ++begin;
        continue;
      }
      const auto end =
          std::find_if(begin, text.end(), [](const Character& c) { return c.combining_class == 0; });
      std::stable_sort(begin, end, [](const Character& a, const Character& b) {
        return a.combining_class < b.combining_class;
      });
      begin = end;
    }
  }

  std::vector<Character> compose(const std::vector<Character>& text) const {
    std::vector<Character> out;
    ptrdiff_t starter = -1;  // in `out`; what follows it there are marks that did not join it
    for (const Character& c : text) {
      const bool marks_between = starter >= 0 && starter + 1 < static_cast<ptrdiff_t>(out.size());
      const bool blocked = starter < 0 || (marks_between && out.back().combining_class >= c.combining_class);
      const int64_t joined =
          blocked ? -1 : compose_pair(out[static_cast<size_t>(starter)].code_point, c.code_point);
      if (joined >= 0) {
        Character& base = out[static_cast<size_t>(starter)];
        base.code_point = static_cast<uint32_t>(joined);
        base.change += c.change - 1;
        continue;
      }
      if (c.combining_class == 0) starter = static_cast<ptrdiff_t>(out.size());
      out.push_back(c);
    }
    return out;
  }

  int64_t compose_pair(uint32_t a, uint32_t b) const {
    if (b < kFirstMark || !is_known(a) || !is_known(b)) return -1;
    const UChar32 joined = unorm2_composePair(nfc_, static_cast<UChar32>(a), static_cast<UChar32>(b));
    return joined >= 0 && is_known(static_cast<uint32_t>(joined)) ? joined : -1;
  }

  const UNormalizer2* nfc_ = nullptr;
  const UNormalizer2* mappings_ = nullptr;  // what characters decompose to
};

bool all_below(std::string_view utf8, unsigned char lead) {
  return std::none_of(utf8.begin(), utf8.end(),
                      [&](char byte) { return static_cast<unsigned char>(byte) >= lead; });
}

Piece written(const Piece& piece, const std::vector<Character>& text, PieceStorage& storage) {
  std::vector<ChangedCharacter> changes;
  changes.reserve(text.size());
  for (const Character& c : text) changes.push_back({c.code_point, c.change});
  return transformed(piece, changes, 0, storage);
}

}  // namespace

Piece normalize_form(NormalizationForm form, const Piece& piece, PieceStorage& storage) {
  constexpr unsigned char kFirstLeadOfAMark = 0xCC;
  if (all_below(piece.text, form == NormalizationForm::kC ? kFirstLeadOfAMark : 0x80)) return piece;
  const bool compatibility = form == NormalizationForm::kKC || form == NormalizationForm::kKD;
  const bool composes = form == NormalizationForm::kC || form == NormalizationForm::kKC;
  const Normalizer normalizer(compatibility);
  return written(piece, composes ? normalizer.composed(piece.text) : normalizer.decomposed(piece.text),
                 storage);
}

}  // namespace deepspeed::text
