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

// Room for a second try. No group is longer than 128 numbers, but for a whole row.
class OtherCodes {
 public:
  explicit OtherCodes(int64_t count) : longer_(count > 128 ? static_cast<size_t>(count) : 0) {}
  int8_t* data() { return longer_.empty() ? few_.data() : longer_.data(); }

 private:
  std::array<int8_t, 128> few_;
  std::vector<int8_t> longer_;
};

uint16_t quantize_int4(const float* w, int64_t count, float largest, int8_t* codes) {
  const Integers range = integers_of(PackedScheme::kInt4);
  OtherCodes other(count);
  int8_t* second = other.data();
  const uint16_t even = bf16_away_from_zero(std::fabs(largest) / 7), full = bf16_away_from_zero(largest / -8);
  const double squares = round_group(range, w, count, bf16_value(even), codes);
  if (round_group(range, w, count, bf16_value(full), second) >= squares) return even;
  std::copy_n(second, count, codes);
  return full;
}

// What codes q stand for: w^ = q scale + shift, both of bf16.
struct Line {
  float scale, shift;
};

struct Rounded {
  double squares;  // of errors
  Line best;       // for these codes, by least squares
};

// Codes by this line.
template <class Importance>
Rounded round_by(Line line, Integers to, const float* __restrict w, Importance importance, int64_t count,
                 int8_t* __restrict codes) {
  constexpr size_t kFew = 8;
  struct Sums {
    std::array<float, kFew> one{}, w{}, q{}, qq{}, wq{}, squares{};
  } sums;
  const float inverse = 1 / line.scale;
  const auto add = [&](size_t lane, int64_t i) {
    const float often = importance(i), x = w[i];
    const float q = clamped(nearest_whole((x - line.shift) * inverse), to.least, to.most);
    codes[i] = static_cast<int8_t>(static_cast<int32_t>(q));
    const float error = x - (q * line.scale + line.shift);
    sums.one[lane] += often;
    sums.w[lane] += often * x;
    sums.q[lane] += often * q;
    sums.qq[lane] += often * q * q;
    sums.wq[lane] += often * x * q;
    sums.squares[lane] += often * error * error;
  };
  const int64_t whole = count / int64_t{kFew} * int64_t{kFew};
  for (int64_t i = 0; i < whole; i += kFew)
    for (size_t lane = 0; lane < kFew; ++lane) add(lane, i + static_cast<int64_t>(lane));
  for (int64_t i = whole; i < count; ++i) add(0, i);
  const auto all = [](const std::array<float, kFew>& lanes) {
    return std::accumulate(lanes.begin(), lanes.end(), 0.0);
  };
  const double n = all(sums.one), x = all(sums.w), q = all(sums.q), qq = all(sums.qq), xq = all(sums.wq);
  const double apart = n * qq - q * q;
  Line best = line;
  if (apart > 0 && n * xq - q * x > 0)
    best = {bf16_value(nearest_bf16(static_cast<float>((n * xq - q * x) / apart))),
            bf16_value(nearest_bf16(static_cast<float>((qq * x - q * xq) / apart)))};
  return {all(sums.squares), best};
}

// Tries the range's even steps and, for few bits, ranges somewhat narrower and wider, each made better by
// least squares a few times.
template <class Importance>
GroupScale quantize_asymmetric(Integers to, const float* w, Importance importance, int64_t count, bool search,
                               int8_t* codes) {
  const auto [least, most] = std::minmax_element(w, w + count);
  const float steps = to.most - to.least, from = *least, until = *most;
  const bool few = steps < 32;
  OtherCodes tried(count);
  Line kept{0, bf16_value(nearest_bf16(from / 2 + until / 2))};
  std::fill_n(codes, count, int8_t{0});
  if (until / steps - from / steps < kLeastLargest) return {0, nearest_bf16(kept.shift)};
  double fewest = std::numeric_limits<double>::infinity();
  const int ranges = search ? 7 : 1, times = few ? 4 : 1;
  for (int range = 0; range < ranges; ++range) {
    // The even steps come first, then one step less and more, and so on.
    const float changed = steps + 0.3f * static_cast<float>(range % 2 == 0 ? range / 2 : -(range + 1) / 2);
    Line line{bf16_value(bf16_away_from_zero(until / changed - from / changed)), 0};
    // The middle of the range is the middle of the codes.
    line.shift = bf16_value(nearest_bf16(from / 2 + until / 2 - (to.least + to.most) / 2 * line.scale));
    for (int time = 0; time < times && line.scale >= kLeastLargest; ++time) {
      const Rounded rounded = round_by(line, to, w, importance, count, tried.data());
      if (rounded.squares < fewest || (range == 0 && time == 0)) {
        fewest = rounded.squares;
        kept = line;
        std::copy_n(tried.data(), count, codes);
      }
      if (rounded.best.scale == line.scale && rounded.best.shift == line.shift) break;
      line = rounded.best;
    }
  }
  return {nearest_bf16(kept.scale), nearest_bf16(kept.shift)};
}

// Of its numbers, the first one of the largest size; NaN where one is no number.
float largest_of(const float* w, int64_t count) {
  constexpr size_t kFew = 8;
  std::array<float, kFew> most{}, least{}, wrong{};  // wrong: 0, or NaN
  const auto look_at = [&](size_t lane, float x) {
    most[lane] = x > most[lane] ? x : most[lane];
    least[lane] = x < least[lane] ? x : least[lane];
    wrong[lane] += x * 0;
  };
  const int64_t whole = count / int64_t{kFew} * int64_t{kFew};
  for (int64_t i = 0; i < whole; i += kFew)
    for (size_t lane = 0; lane < kFew; ++lane) look_at(lane, w[i + static_cast<int64_t>(lane)]);
  for (int64_t i = whole; i < count; ++i) look_at(0, w[i]);
  for (size_t half = kFew / 2; half > 0; half /= 2)
    for (size_t i = 0; i < half; ++i) {
      most[i] = std::max(most[i], most[i + half]);
      least[i] = std::min(least[i], least[i + half]);
      wrong[i] += wrong[i + half];
    }
  const float top = most[0], bottom = least[0];
  if (wrong[0] != 0) return wrong[0];
  if (top != -bottom) return top > -bottom ? top : bottom;
  return *std::find_if(w, w + count, [&](float x) { return x == top || x == bottom; });
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
  const float largest = largest_of(w, count);
  const bool nan = largest != largest;
  if (nan || std::fabs(largest) < kLeastLargest) {
    std::fill_n(codes, count, int8_t{0});
    return {nan ? nearest_bf16(std::numeric_limits<float>::quiet_NaN()) : uint16_t{0}};
  }
  if (asymmetric) {
    const Integers to = integers_of(scheme);
    if (importance == nullptr)
      return quantize_asymmetric(
          to, w, [](int64_t) { return 1.0f; }, count, false, codes);
    return quantize_asymmetric(
        to, w, [&](int64_t i) { return importance[i]; }, count, true, codes);
  }
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
