#include "deepspeed/ops/packed_codes.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

namespace deepspeed::ops {
namespace {

using cpu::PackedScheme;

constexpr float kLeastLargest = 0x1p-100f;

// |x| rounded up.
uint16_t bf16_away_from_zero(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  return static_cast<uint16_t>((bits + 0xFFFF) >> 16);
}

// Ties to even. Adding and taking away 1.5 * 2^23 rounds |x| < 2^22, four numbers at a time where the
// compiler sees a loop; the scale keeps x below that.
float nearest_whole(float x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

float clamped(float x, float least, float most) {
  x = x < least ? least : x;
  return x > most ? most : x;
}

// Ties to the even mantissa.
int8_t nearest_fp6(float x) {
  const float magnitude = std::min(std::fabs(x), 28.0f);
  // The step is 2^-4 below 1/2 and a quarter of the power of two from there on.
  const int exponent = magnitude < 0.5f ? -2 : std::ilogb(magnitude);
  const float step = std::ldexp(1.0f, exponent - 2);
  const float rounded = std::nearbyint(magnitude / step) * step;
  int code = 0;
  if (rounded > 0) {
    const int e = rounded < 0.25f ? -2 : std::ilogb(rounded);
    code = rounded < 0.25f ? static_cast<int>(rounded * 16)
                           : (e + 3) << 2 | (static_cast<int>(std::ldexp(rounded, 2 - e)) & 3);
  }
  return static_cast<int8_t>(std::signbit(x) && code != 0 ? code | 32 : code);
}

// Numbers that are rounded at once, a constant: such loops are compiled to vectors.
constexpr int64_t kLanes = 32;

struct Integers {
  float least, most;
};
Integers integers_of(PackedScheme scheme) {
  return scheme == PackedScheme::kInt4 ? Integers{-8, 7} : Integers{-127, 127};
}

// Codes of kLanes numbers; `squares` gets their errors, in units of the scale.
void round_lanes(const float* __restrict w, float scale, Integers to, int8_t* __restrict codes,
                 float* __restrict squares) {
  for (int64_t i = 0; i < kLanes; ++i) {
    const float exact = w[i] / scale, whole = clamped(nearest_whole(exact), to.least, to.most);
    codes[i] = static_cast<int8_t>(static_cast<int32_t>(whole));
    squares[i] += (exact - whole) * (exact - whole);
  }
}

// Codes by this scale; returns the sum of squared errors.
double round_group(Integers to, const float* w, int64_t count, float scale, int8_t* codes) {
  std::array<float, kLanes> squares{}, rest{};
  std::array<int8_t, kLanes> rest_codes;
  const int64_t whole = count / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) round_lanes(w + i, scale, to, codes + i, squares.data());
  if (whole < count) {
    std::copy(w + whole, w + count, rest.begin());
    round_lanes(rest.data(), scale, to, rest_codes.data(), squares.data());
    std::copy_n(rest_codes.begin(), count - whole, codes + whole);
  }
  for (size_t half = kLanes / 2; half > 0; half /= 2)
    for (size_t i = 0; i < half; ++i) squares[i] += squares[i + half];
  return double{squares[0]} * scale * scale;
}

uint16_t quantize_int4(const float* w, int64_t count, float largest, int8_t* codes) {
  const Integers range = integers_of(PackedScheme::kInt4);
  std::array<int8_t, 128> other;  // no group is longer, but for a whole row
  std::vector<int8_t> longer(count > 128 ? static_cast<size_t>(count) : 0);
  int8_t* second = longer.empty() ? other.data() : longer.data();
  const uint16_t even = bf16_away_from_zero(std::fabs(largest) / 7), full = bf16_away_from_zero(largest / -8);
  const double squares = round_group(range, w, count, bf16_value(even), codes);
  if (round_group(range, w, count, bf16_value(full), second) >= squares) return even;
  std::copy_n(second, count, codes);
  return full;
}

constexpr size_t kFew = 8;  // sums at once: such loops are compiled to vectors

template <class Add>
void for_each_lane(int64_t count, Add&& add) {
  const int64_t whole = count / int64_t{kFew} * int64_t{kFew};
  for (int64_t i = 0; i < whole; i += kFew)
    for (size_t lane = 0; lane < kFew; ++lane) add(lane, i + static_cast<int64_t>(lane));
  for (int64_t i = whole; i < count; ++i) add(0, i);
}

struct Range {
  float least, most;
  float wrong;  // 0, or NaN where one of the numbers is none
};

Range range_of(const float* w, int64_t count) {
  std::array<float, kFew> most, least, wrong{};
  most.fill(w[0]);
  least.fill(w[0]);
  for_each_lane(count, [&](size_t lane, int64_t i) {
    const float x = w[i];
    most[lane] = x > most[lane] ? x : most[lane];
    least[lane] = x < least[lane] ? x : least[lane];
    wrong[lane] += x * 0;
  });
  return {*std::min_element(least.begin(), least.end()), *std::max_element(most.begin(), most.end()),
          std::accumulate(wrong.begin(), wrong.end(), 0.0f)};
}

// Of its numbers, the first one of the largest size.
float largest_of(const Range& range, const float* w, int64_t count) {
  if (range.most != -range.least) return range.most > -range.least ? range.most : range.least;
  return *std::find_if(w, w + count, [&](float x) { return x == range.most || x == range.least; });
}

// Numbers w of an asymmetric group as u = (w - middle) / unit, the unit being the even step of their range:
// of the same size whatever w's is.
class Centered {
 public:
  Centered(const float* w, int64_t count, float middle, float unit)
      : middle_(middle), unit_(unit), count_(count), longer_(count > 128 ? static_cast<size_t>(count) : 0) {
    float* u = longer_.empty() ? few_.data() : longer_.data();
    const float inverse = 1 / unit;
    for (int64_t i = 0; i < count; ++i) u[i] = (w[i] - middle) * inverse;
  }
  const float* numbers() const { return longer_.empty() ? few_.data() : longer_.data(); }
  int64_t count() const { return count_; }

  // w^ = q scale + shift, in units and around the middle; `scale` and `shift` are of bf16 in w's own terms.
  struct Line {
    GroupScale rounded;
    float scale, shift, inverse;  // 1 / scale
  };
  Line line(float scale, float shift) const {
    return of_bf16({nearest_bf16(scale * unit_), nearest_bf16(shift * unit_ + middle_)});
  }
  Line of_bf16(GroupScale rounded) const {
    const float scale = bf16_value(rounded.scale);
    return {rounded, scale / unit_, (bf16_value(rounded.shift) - middle_) / unit_, unit_ / scale};
  }

 private:
  float middle_, unit_;
  int64_t count_;
  std::array<float, 128> few_;  // no group is longer, but for a whole row
  std::vector<float> longer_;
};

// Sums over a group's numbers u and their codes q, each number counted `often` times.
struct CodeSums {
  double q = 0, qq = 0, uq = 0;
};
struct NumberSums {
  double one = 0, u = 0, uu = 0;
};

// Pair by pair: additions one after the other would take as long as all else.
double total(std::array<float, kFew> lanes) {
  for (size_t half = kFew / 2; half > 0; half /= 2)
    for (size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

template <class Often>
NumberSums number_sums(const Centered& group, Often often) {
  std::array<float, kFew> one{}, u{}, uu{};
  const float* __restrict numbers = group.numbers();
  for_each_lane(group.count(), [&](size_t lane, int64_t i) {
    one[lane] += often(i);
    u[lane] += often(i) * numbers[i];
    uu[lane] += often(i) * numbers[i] * numbers[i];
  });
  return {total(one), total(u), total(uu)};
}

float nearest_on(const Centered::Line& line, Integers to, float u) {
  return clamped(nearest_whole((u - line.shift) * line.inverse), to.least, to.most);
}

template <class Often>
CodeSums code_sums(const Centered& group, const Centered::Line& line, Integers to, Often often) {
  std::array<float, kFew> q{}, qq{}, uq{};
  const float* __restrict numbers = group.numbers();
  for_each_lane(group.count(), [&](size_t lane, int64_t i) {
    const float code = nearest_on(line, to, numbers[i]), counted = often(i) * code;
    q[lane] += counted;
    qq[lane] += counted * code;
    uq[lane] += counted * numbers[i];
  });
  return {total(q), total(qq), total(uq)};
}

// Of u - (q scale + shift).
double squared_error(const NumberSums& n, const CodeSums& c, const Centered::Line& line) {
  const double s = line.scale, t = line.shift;
  return n.uu - 2 * s * c.uq - 2 * t * n.u + s * s * c.qq + 2 * s * t * c.q + t * t * n.one;
}

// Begins with the range's even steps and, in a search, ranges somewhat narrower and wider; for few bits each
// is made better by least squares a few times.
template <class Often>
GroupScale asymmetric_scale(Integers to, const Centered& group, float unit, Often often, bool search,
                            const Centered::Line& even) {
  const NumberSums numbers = number_sums(group, often);
  const float steps = to.most - to.least;
  const int ranges = search ? 7 : 1, times = steps < 32 ? 4 : 1;
  GroupScale kept = even.rounded;
  double fewest = std::numeric_limits<double>::infinity();
  for (int range = 0; range < ranges; ++range) {
    // One step less and more, and so on.
    const float changed = 0.3f * static_cast<float>(range % 2 == 0 ? range / 2 : -(range + 1) / 2);
    const float scale = steps / (steps + changed);
    Centered::Line line = range == 0 ? even : group.line(scale, -(to.least + to.most) / 2 * scale);
    for (int time = 0; time < times && line.scale * unit >= kLeastLargest; ++time) {
      const CodeSums codes = code_sums(group, line, to, often);
      if (const double error = squared_error(numbers, codes, line); error < fewest) {
        fewest = error;
        kept = line.rounded;
      }
      const double apart = numbers.one * codes.qq - codes.q * codes.q;
      const double together = numbers.one * codes.uq - codes.q * numbers.u;
      if (!(apart > 0 && together > 0)) break;
      const double shift = (codes.qq * numbers.u - codes.q * codes.uq) / apart;
      const Centered::Line next = group.line(static_cast<float>(together / apart), static_cast<float>(shift));
      if (next.scale == line.scale && next.shift == line.shift) break;
      line = next;
    }
  }
  return kept;
}

GroupScale quantize_asymmetric(Integers to, const Range& range, const float* w, const float* importance,
                               int64_t count, int8_t* codes) {
  const float middle = range.least / 2 + range.most / 2, steps = to.most - to.least;
  const float unit = range.most / steps - range.least / steps;
  if (unit < kLeastLargest) {
    std::fill_n(codes, count, int8_t{0});
    return {0, nearest_bf16(middle)};
  }
  const Centered group(w, count, middle, unit);
  // The middle of the range is the middle of the codes.
  const uint16_t scale = bf16_away_from_zero(unit);
  const Centered::Line even =
      group.of_bf16({scale, nearest_bf16(middle - (to.least + to.most) / 2 * bf16_value(scale))});
  const GroupScale best = importance == nullptr
                              ? asymmetric_scale(
                                    to, group, unit, [](int64_t) { return 1.0f; }, false, even)
                              : asymmetric_scale(
                                    to, group, unit, [&](int64_t i) { return importance[i]; }, true, even);
  const Centered::Line line = group.of_bf16(best);
  for (int64_t i = 0; i < count; ++i)
    codes[i] = static_cast<int8_t>(static_cast<int32_t>(nearest_on(line, to, group.numbers()[i])));
  return best;
}

}  // namespace

void round_to_bf16(const float* __restrict from, int64_t count, uint16_t* __restrict to) {
  const int64_t whole = count / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane) to[i + lane] = nearest_bf16(from[i + lane]);
  for (int64_t i = whole; i < count; ++i) to[i] = nearest_bf16(from[i]);
}

float code_value(PackedScheme scheme, int8_t code) {
  if (scheme == PackedScheme::kFp6) return static_cast<float>(cpu::fp6_sixteenths(code)) / 16;
  return code;
}

int8_t nearest_code(PackedScheme scheme, float x) {
  if (scheme == PackedScheme::kFp6) return nearest_fp6(x);
  const auto [least, most] = integers_of(scheme);
  return static_cast<int8_t>(clamped(nearest_whole(x), least, most));
}

GroupScale quantize_group(PackedScheme scheme, bool asymmetric, const float* w, int64_t count, int8_t* codes,
                          const float* importance) {
  const Range range = range_of(w, count);
  const bool nan = range.wrong != 0;
  if (nan || std::max(range.most, -range.least) < kLeastLargest) {
    std::fill_n(codes, count, int8_t{0});
    return {nan ? nearest_bf16(std::numeric_limits<float>::quiet_NaN()) : uint16_t{0}};
  }
  if (asymmetric) return quantize_asymmetric(integers_of(scheme), range, w, importance, count, codes);
  const float largest = largest_of(range, w, count);
  if (scheme == PackedScheme::kInt4) return {quantize_int4(w, count, largest, codes)};
  if (scheme == PackedScheme::kFp6) {
    const uint16_t scale = bf16_away_from_zero(std::fabs(largest) / 28.0f);
    for (int64_t i = 0; i < count; ++i) codes[i] = nearest_fp6(w[i] / bf16_value(scale));
    return {scale};
  }
  const uint16_t scale = bf16_away_from_zero(std::fabs(largest) / 127.0f);
  round_group(integers_of(scheme), w, count, bf16_value(scale), codes);
  return {scale};
}

int64_t column_words(const cpu::PackedFormat& format) {
  return format.panel_bytes() / (cpu::kPanel * static_cast<int64_t>(sizeof(uint32_t)));
}

namespace {

uint32_t four_codes(const int8_t* codes) {
  uint32_t word;
  std::memcpy(&word, codes, sizeof word);
  return word;
}

// The low halves of eight codes, each changed by the bits of `sign`.
uint32_t nibbles(const int8_t* codes, uint32_t sign) {
  constexpr uint32_t kLow = 0x0F0F0F0F;
  return ((four_codes(codes) & kLow) ^ sign) | ((four_codes(codes + 4) & kLow) ^ sign) << 4;
}

// Two bits of each of sixteen codes.
uint32_t high_bits(const int8_t* codes) {
  uint32_t word = 0;
  for (int quad = 0; quad < 4; ++quad) word |= (four_codes(codes + 4 * quad) >> 4 & 0x03030303) << (2 * quad);
  return word;
}

}  // namespace

void write_column(PackedScheme scheme, const int8_t* codes, int64_t padded_in, uint32_t* words) {
  static_assert(std::endian::native == std::endian::little);
  switch (scheme) {
    case PackedScheme::kInt4:  // q + 8 in four bits is q with the upper one turned over
      for (int64_t k = 0; k < padded_in; k += 8) *words++ = nibbles(codes + k, 0x08080808);
      return;
    case PackedScheme::kFp6:
      for (int64_t k = 0; k < padded_in; k += 32) {
        for (int64_t j = 0; j < 32; j += 8) *words++ = nibbles(codes + k + j, 0);
        for (int64_t half = 0; half < 32; half += 16) *words++ = high_bits(codes + k + half);
      }
      return;
    default:
      for (int64_t k = 0; k < padded_in; k += 4) *words++ = four_codes(codes + k) ^ 0x80808080;
  }
}

void interleave_columns(const uint32_t* __restrict columns, int64_t words, uint8_t* panel) {
  auto* __restrict to = reinterpret_cast<uint32_t*>(panel);
  for (int64_t word = 0; word < words; ++word)
    for (int64_t column = 0; column < cpu::kPanel; ++column)
      to[word * cpu::kPanel + column] = columns[column * words + word];
}

int8_t get_code(PackedScheme scheme, const uint8_t* panel, int64_t k, int64_t column) {
  const auto get = [&](cpu::Nibble at, int mask) { return panel[at.byte] >> at.shift & mask; };
  switch (scheme) {
    case PackedScheme::kInt4:
      return static_cast<int8_t>(get(cpu::int4_place(k, column), 15) - 8);
    case PackedScheme::kFp6: {
      const cpu::Fp6Place at = cpu::fp6_place(k, column);
      return static_cast<int8_t>(get(at.low, 15) | get(at.high, 3) << 4);
    }
    default:
      return static_cast<int8_t>(panel[cpu::int8_place(k, column)] - 128);
  }
}

}  // namespace deepspeed::ops
