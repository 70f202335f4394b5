// Goldens made by tests/parity/tokenizer/make_kinds.py, which says what is in them.
#pragma once

#include <string>
#include <vector>

#include "golden.h"
#include "random_lines.h"

namespace deepspeed::text::golden {

inline const nlohmann::json& kinds() {
  static const nlohmann::json value = nlohmann::json::parse(read("kinds/digests.json"));
  return value;
}

inline std::vector<std::string> names_of(const char* group) {
  std::vector<std::string> names;
  for (const auto& [name, value] : kinds().at(group).items()) names.push_back(name);
  return names;
}

/// The digests of random lines; of `stride` blocks one is compared.
inline void expect_lines(const Tokenizer& tokenizer, const nlohmann::json& digests, size_t stride) {
  const auto size = kinds().at("lines_per_digest").get<size_t>();
  RandomLines lines;
  for (size_t block = 0; block < digests.size(); ++block) {
    Crc32 crc;
    for (size_t i = 0; i < size; ++i) {
      const std::string line = lines.next();
      if (block % stride != 0) continue;
      add_record(crc, tokenizer, line);
      ASSERT_EQ(tokenizer.encode_ids(line), tokenizer.encode(line, false).ids) << line;
    }
    if (block % stride == 0) ASSERT_EQ(crc.text(), digests[block].get<std::string>()) << "block " << block;
  }
}

/// The digests of all code points; of `stride` blocks one is compared.
inline void expect_code_points(const Tokenizer& tokenizer, const nlohmann::json& digests, uint32_t stride) {
  constexpr uint32_t kBlock = 4096;
  ASSERT_EQ(digests.size() * kBlock, 0x110000u);
  for (uint32_t block = 0; block < digests.size(); block += stride) {
    Crc32 crc;
    for (uint32_t c = block * kBlock; c < (block + 1) * kBlock; ++c) {
      if (c >= 0xD800 && c <= 0xDFFF) continue;
      std::string text;
      append_code_point(text, c);
      add_record(crc, tokenizer, text);
    }
    ASSERT_EQ(crc.text(), digests[block].get<std::string>()) << "code points from " << block * kBlock;
  }
}

/// A normalizer or pre-tokenizer alone, before a model that shows bytes or runs of them.
inline Tokenizer step_tokenizer(const std::string& name) {
  nlohmann::json document = kinds().at("steps").at(name).at("tokenizer");
  if (document.at("model").at("type") == "BPE")
    for (int byte = 0; byte < 256; ++byte) document["model"]["vocab"][fmt::format("<0x{:02X}>", byte)] = byte;
  return Tokenizer::from_json(document.dump(), name);
}

inline std::string readable_name(std::string name) {
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return name;
}

}  // namespace deepspeed::text::golden
