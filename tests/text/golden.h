// Goldens made by tests/parity/tokenizer/make_goldens.py, which says what is in them.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "deepspeed/base/file.h"
#include "deepspeed/text/tokenizer.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text::golden {

inline std::filesystem::path folder() { return std::filesystem::path(DS_SOURCE_DIR) / "tests/text/goldens"; }
inline std::string read(const std::string& name) { return base::read_text_file(folder() / name); }
inline const nlohmann::json& digests() {
  static const nlohmann::json value = nlohmann::json::parse(read("digests.json"));
  return value;
}
inline Tokenizer tokenizer(const std::string& name) {
  return Tokenizer::from_file(folder() / (name + ".json"));
}

/// CRC-32 as zlib has it.
class Crc32 {
 public:
  void add(std::string_view bytes) {
    for (const char byte : bytes)
      value_ = table()[(value_ ^ static_cast<uint8_t>(byte)) & 0xFF] ^ value_ >> 8;
  }
  void add(uint32_t word) {
    const char bytes[4] = {static_cast<char>(word), static_cast<char>(word >> 8),
                           static_cast<char>(word >> 16), static_cast<char>(word >> 24)};
    add(std::string_view(bytes, 4));
  }
  std::string text() const { return fmt::format("{:08x}", ~value_); }

 private:
  static const std::array<uint32_t, 256>& table() {
    static const auto made = [] {
      std::array<uint32_t, 256> t{};
      for (uint32_t i = 0; i < 256; ++i) {
        t[i] = i;
        for (int bit = 0; bit < 8; ++bit) t[i] = t[i] >> 1 ^ (t[i] & 1 ? 0xEDB88320u : 0);
      }
      return t;
    }();
    return made;
  }
  uint32_t value_ = ~0u;
};

/// Adds the text's record: ids, offsets and decoded text.
inline void add_record(Crc32& crc, const Tokenizer& tokenizer, std::string_view text) {
  const Encoding encoding = tokenizer.encode(text);
  crc.add(static_cast<uint32_t>(encoding.ids.size()));
  for (const int32_t id : encoding.ids) crc.add(static_cast<uint32_t>(id));
  for (const auto& [begin, end] : encoding.offsets) {
    crc.add(static_cast<uint32_t>(begin));
    crc.add(static_cast<uint32_t>(end));
  }
  const std::string decoded = tokenizer.decode(encoding.ids);
  crc.add(static_cast<uint32_t>(decoded.size()));
  crc.add(decoded);
}

inline std::string digest(const Tokenizer& tokenizer, std::string_view text) {
  Crc32 crc;
  add_record(crc, tokenizer, text);
  return crc.text();
}

inline void expect_code_points(const Tokenizer& tokenizer, const nlohmann::json& expected) {
  const auto size = digests().at("code_points_per_digest").get<uint32_t>();
  const auto& blocks = expected.at("code_points");
  ASSERT_EQ(blocks.size() * size, 0x110000u);
  for (uint32_t block = 0; block < blocks.size(); ++block) {
    Crc32 crc;
    for (uint32_t c = block * size; c < (block + 1) * size; ++c) {
      if (c >= 0xD800 && c <= 0xDFFF) continue;
      std::string text;
      append_code_point(text, c);
      add_record(crc, tokenizer, text);
    }
    EXPECT_EQ(crc.text(), blocks[block].get<std::string>()) << "code points from " << block * size;
  }
}

/// The digest of all pairs whose first character is one of `rows_per_digest` chosen ones, from `block` on.
inline std::string pairs_digest(const Tokenizer& tokenizer, size_t block) {
  const auto& chosen = digests().at("chosen");
  const auto rows = digests().at("rows_per_digest").get<size_t>();
  Crc32 crc;
  for (size_t row = block * rows; row < (block + 1) * rows; ++row) {
    for (const auto& second : chosen) {
      std::string text;
      append_code_point(text, chosen[row].get<uint32_t>());
      append_code_point(text, second.get<uint32_t>());
      add_record(crc, tokenizer, text);
    }
  }
  return crc.text();
}

/// Every `stride`-th digest.
inline void expect_pairs(const Tokenizer& tokenizer, const nlohmann::json& expected, size_t stride) {
  const auto& pairs = expected.at("pairs");
  ASSERT_EQ(digests().at("chosen").size(), 2000u);
  ASSERT_EQ(pairs.size() * digests().at("rows_per_digest").get<size_t>(), 2000u);
  for (size_t block = 0; block < pairs.size(); block += stride) {
    ASSERT_EQ(pairs_digest(tokenizer, block), pairs[block].get<std::string>()) << "block " << block;
  }
}

/// The King James text as examples/gpt2/make_text.sh writes it; empty, with the reason in `why`, where it
/// cannot.
inline std::string king_james(std::string& why) {
  const auto path = std::filesystem::temp_directory_path() / fmt::format("ds_text_kjv_{}.txt", ::getpid());
  const std::string command =
      fmt::format("'{}/examples/gpt2/make_text.sh' '{}'", DS_SOURCE_DIR, path.string());
  if (std::system(command.c_str()) != 0) {
    why = "SKIPPED, not tested: the text of Debian's bible-kjv is not installed (apt-get install bible-kjv)";
    return "";
  }
  std::string text = base::read_text_file(path);
  std::filesystem::remove(path);
  Crc32 crc;
  crc.add(std::string_view(text));
  if (crc.text() != digests().at("kjv_text").get<std::string>()) {
    why = "SKIPPED, not tested: this bible-kjv is not the edition of the goldens (4.38)";
    return "";
  }
  return text;
}

inline void expect_king_james(const Tokenizer& tokenizer, const nlohmann::json& expected) {
  std::string why;
  const std::string text = king_james(why);
  if (text.empty()) GTEST_SKIP() << why;
  EXPECT_EQ(digest(tokenizer, text), expected.at("kjv").get<std::string>());
  EXPECT_EQ(tokenizer.encode_ids(text), tokenizer.encode(text, false).ids);
}

}  // namespace deepspeed::text::golden
