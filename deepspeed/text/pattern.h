// The patterns of Split and ByteLevel, with the matches that tokenizers' Oniguruma finds.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/text/pattern_syntax.h"

namespace deepspeed::text {

/// GPT-2's pattern, which ByteLevel applies when `use_regex` is on.
extern const std::string_view kGpt2Pattern;

/// A compiled pattern; immutable, any number of threads may use it.
///
/// Code points that every set of the pattern treats alike are one letter of a small alphabet; PCRE2 then
/// matches bytes over that alphabet, so that no Unicode table but ours decides, and a class costs one bit
/// test however large it is.
class Pattern {
 public:
  /// `where` stands for the pattern's place in errors.
  Pattern(std::string_view pattern, std::string where);
  /// A pattern that is this text and nothing else (as Split's {"String": ...}).
  static Pattern of_text(std::string_view text, std::string where);

  /// Cuts `utf8` (valid) into matches and what lies between them, in order and without gaps; offsets are
  /// bytes.
  void cut(std::string_view utf8,
           const std::function<void(size_t begin, size_t end, bool is_match)>& piece) const;

 private:
  struct Code;
  struct Boundary {
    uint32_t first;
    uint8_t letter;
  };
  Pattern(PatternSyntax syntax, std::string where);
  std::vector<std::string> make_alphabet(const std::vector<CodePointSet>& sets);
  uint8_t letter_of(uint32_t code_point) const;
  bool translate(std::string_view utf8, std::string& letters) const;
  void search(std::string_view letters, const std::function<void(size_t begin, size_t end)>& match) const;

  std::string where_;
  std::vector<Boundary> boundaries_;  // sorted; each holds up to the next
  std::array<uint8_t, 128> ascii_{};
  std::shared_ptr<const Code> code_;
};

}  // namespace deepspeed::text
