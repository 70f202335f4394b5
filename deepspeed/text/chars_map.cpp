#include "deepspeed/text/chars_map.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <array>

#include "deepspeed/base/error.h"
#include "deepspeed/text/code_point_set.h"
#include "deepspeed/text/normalizer_tables.h"
#include "deepspeed/text/rewriting.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

constexpr size_t kLongestCluster = 5;  // in bytes, of those that the map sees as a whole

// One unit of the trie, as darts-clone packs it.
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) == 1; }
uint32_t label_of(uint32_t unit) { return unit & (uint32_t{1} << 31 | 0xFF); }
uint32_t offset_of(uint32_t unit) { return unit >> 10 << ((unit & uint32_t{1} << 9) >> 6); }
uint32_t value_of(uint32_t unit) { return unit & ~(uint32_t{1} << 31); }

enum class ClusterKind {
  kOther,
  kExtend,
  kPrepend,
  kControl,
  kLead,
  kVowel,
  kTail,
  kLeadVowel,
  kLeadVowelTail
};

ClusterKind kind_of(uint32_t c) {
  static const CodePointSet extend(kClusterExtendRanges, kClusterExtendRangeCount);
  static const CodePointSet control(kClusterControlRanges, kClusterControlRangeCount);
  static const CodePointSet prepend(kClusterPrependRanges, kClusterPrependRangeCount);
  if (c < 0x20) return ClusterKind::kControl;
  if (c < 0x7F) return ClusterKind::kOther;
  if (control.contains(c)) return ClusterKind::kControl;
  if (extend.contains(c)) return ClusterKind::kExtend;
  if (prepend.contains(c)) return ClusterKind::kPrepend;
  if ((c >= 0x1100 && c <= 0x115F) || (c >= 0xA960 && c <= 0xA97C)) return ClusterKind::kLead;
  if ((c >= 0x1160 && c <= 0x11A7) || (c >= 0xD7B0 && c <= 0xD7C6)) return ClusterKind::kVowel;
  if ((c >= 0x11A8 && c <= 0x11FF) || (c >= 0xD7CB && c <= 0xD7FB)) return ClusterKind::kTail;
  if (c >= 0xAC00 && c <= 0xD7A3)
    return (c - 0xAC00) % 28 == 0 ? ClusterKind::kLeadVowel : ClusterKind::kLeadVowelTail;
  return ClusterKind::kOther;
}

bool joins(uint32_t left, ClusterKind left_kind, uint32_t right, ClusterKind right_kind) {
  using enum ClusterKind;
  if (left == '\r' && right == '\n') return true;
  if (left_kind == kControl || right_kind == kControl) return false;
  if (right_kind == kExtend || left_kind == kPrepend) return true;
  if (left_kind == kLead)
    return right_kind == kLead || right_kind == kVowel || right_kind == kLeadVowel ||
           right_kind == kLeadVowelTail;
  if (left_kind == kLeadVowel || left_kind == kVowel) return right_kind == kVowel || right_kind == kTail;
  return (left_kind == kLeadVowelTail || left_kind == kTail) && right_kind == kTail;
}

bool is_pictograph(uint32_t c) {
  return c >= 0xA9 && u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_EXTENDED_PICTOGRAPHIC) != 0;
}

// The end of the cluster that begins at `begin` (UAX #29). Flags and conjuncts, whose rules are left out,
// have six bytes and more with and without them, and then no cluster is seen as a whole.
size_t cluster_end(std::string_view text, size_t begin) {
  constexpr uint32_t kZeroWidthJoiner = 0x200D;
  size_t end = begin;
  uint32_t left = next_code_point(text, end);
  ClusterKind left_kind = kind_of(left);
  bool pictograph = is_pictograph(left);  // with nothing but extensions behind it
  while (end < text.size()) {
    size_t after = end;
    const uint32_t right = next_code_point(text, after);
    const ClusterKind right_kind = kind_of(right);
    const bool joins_pictographs = pictograph && left == kZeroWidthJoiner && is_pictograph(right);
    if (!joins_pictographs && !joins(left, left_kind, right, right_kind)) break;
    pictograph = is_pictograph(right) || (pictograph && right_kind == ClusterKind::kExtend);
    end = after;
    left = right;
    left_kind = right_kind;
  }
  return end;
}

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

// Extra characters come last; where there are fewer, the last one stands for the rest. A text that goes
// before anything is written is forgotten, as there is no character to note it at.
void replace(std::vector<ChangedCharacter>& out, std::string_view from, std::string_view to) {
  for (size_t at = 0; at < to.size();) out.push_back({next_code_point(to, at), 0});
  const auto difference =
      static_cast<ptrdiff_t>(count_characters(to)) - static_cast<ptrdiff_t>(count_characters(from));
  for (ptrdiff_t i = 0; i < difference; ++i) out[out.size() - 1 - static_cast<size_t>(i)].change = 1;
  if (difference < 0 && !out.empty()) out.back().change += static_cast<int>(difference);
}

}  // namespace

CharsMap::CharsMap(std::string_view bytes, const std::string& where) {
  const auto word = [&](size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i)
      value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
    return value;
  };
  DS_CHECK(bytes.size() >= 4, "{}: a character map of {} bytes has no length", where, bytes.size());
  const size_t size = word(0);
  DS_CHECK(size % 4 == 0 && size <= bytes.size() - 4,
           "{}: the character map's trie of {} bytes does not fit in {}", where, size, bytes.size());
  units_.resize(size / 4);
  for (size_t i = 0; i < units_.size(); ++i) units_[i] = word(4 + 4 * i);
  texts_ = bytes.substr(4 + size);
  check_utf8(texts_, where + ": the character map's texts");
}

std::optional<std::string_view> CharsMap::find(std::string_view text) const {
  size_t at = offset_of(unit(0));
  for (const char c : text) {
    if (c == 0) break;
    const auto byte = static_cast<uint32_t>(static_cast<unsigned char>(c));
    at ^= byte;
    const uint32_t here = unit(at);
    if (label_of(here) != byte) break;
    at ^= offset_of(here);
    if (!has_leaf(here)) continue;
    const size_t begin = value_of(unit(at));
    if (begin > texts_.size()) return std::nullopt;
    const size_t end = std::min(texts_.find('\0', begin), texts_.size());
    const auto found = std::string_view(texts_).substr(begin, end - begin);
    return find_invalid_utf8(found) == std::string_view::npos ? std::optional(found) : std::nullopt;
  }
  return std::nullopt;
}

Piece CharsMap::normalize(const Piece& piece, PieceStorage& storage) const {
  const std::string_view text = piece.text;
  std::vector<ChangedCharacter> out;
  out.reserve(text.size());
  bool modified = false;
  for (size_t at = 0; at < text.size();) {
    const size_t end = cluster_end(text, at);
    const auto whole = end - at <= kLongestCluster ? find(text.substr(at, end - at)) : std::nullopt;
    if (whole) {
      replace(out, text.substr(at, end - at), *whole);
      modified = true;
      at = end;
      continue;
    }
    while (at < end) {
      const size_t begin = at;
      const uint32_t c = next_code_point(text, at);
      const auto part = find(text.substr(begin, at - begin));
      if (part)
        replace(out, text.substr(begin, at - begin), *part);
      else
        out.push_back({c, 0});
      modified = modified || part.has_value();
    }
  }
  return modified ? transformed(piece, out, 0, storage) : piece;
}

std::string decode_base64(std::string_view text, const std::string& where) {
  static const auto values = [] {
    std::array<int8_t, 256> table{};
    table.fill(-1);
    constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < kAlphabet.size(); ++i)
      table[static_cast<unsigned char>(kAlphabet[i])] = static_cast<int8_t>(i);
    return table;
  }();
  DS_CHECK(text.size() % 4 == 0, "{}: base64 of {} characters is not complete", where, text.size());
  std::string out;
  out.reserve(text.size() / 4 * 3);
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  uint32_t bits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const int value = i >= text.size() - padding ? 0 : values[static_cast<unsigned char>(text[i])];
    DS_CHECK(value >= 0, "{}: character {} is not base64", where, i);
    bits = bits << 6 | static_cast<uint32_t>(value);
    if (i % 4 == 3)
      for (int shift = 16; shift >= 0; shift -= 8) out += static_cast<char>(bits >> shift & 0xFF);
  }
  out.resize(out.size() - padding);
  return out;
}

}  // namespace deepspeed::text
