// The lines of tests/parity/tokenizer/random_lines.py, which see.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "golden.h"

namespace deepspeed::text::golden {

class RandomLines {
 public:
  explicit RandomLines(uint64_t seed = 1) : state_(seed) {}

  std::string next() {
    std::string out;
    const uint64_t parts = 1 + below(12);
    for (uint64_t i = 0; i < parts; ++i) {
      out += part();
      out.append(below(4) % 3, ' ');
    }
    return utf8_lossy(std::move(out));
  }

 private:
  static const nlohmann::json& source() {
    static const nlohmann::json value = nlohmann::json::parse(read("kinds/lines.json"));
    return value;
  }

  uint64_t below(uint64_t bound) {
    state_ += 0x9E3779B97F4A7C15u;
    uint64_t z = state_;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (z ^ z >> 31) % bound;
  }

  const nlohmann::json& of(const char* list) {
    const nlohmann::json& items = source().at(list);
    return items[below(items.size())];
  }

  static std::string character(uint64_t point) {
    std::string out;
    append_code_point(out, point >= 0xD800 && point <= 0xDFFF ? 0xFFFD : static_cast<uint32_t>(point));
    return out;
  }

  std::string part() {
    const uint64_t kind = below(16);
    std::string out;
    switch (kind) {
      case 6: {
        const nlohmann::json& range = of("ranges");
        const auto first = range[0].get<uint64_t>(), last = range[1].get<uint64_t>();
        const uint64_t count = 1 + below(4);
        for (uint64_t i = 0; i < count; ++i) out += character(first + below(last - first + 1));
        return out;
      }
      case 7:
        return of("emoji").get<std::string>();
      case 8:
        return character(below(0xA0));
      case 9:
        return character(0x300 + below(0x70));
      case 10:
        return character(below(0x110000));
      case 11: {
        const uint64_t count = 1 + below(3);
        for (uint64_t i = 0; i < count; ++i) out += static_cast<char>(0x80 + below(0x80));
        return out;
      }
      case 12:
        return of("added").get<std::string>();
      case 13:
        return std::to_string(below(100000));
      case 14:
        return of("spaces").get<std::string>();
      case 15:
        return std::string(1, static_cast<char>(0x21 + below(0x5E)));
      default:
        return of("words").get<std::string>();
    }
  }

  uint64_t state_;
};

}  // namespace deepspeed::text::golden
