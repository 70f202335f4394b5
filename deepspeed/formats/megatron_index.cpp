#include "deepspeed/formats/megatron_index.h"

#include <array>
#include <bit>
#include <cstring>

#include "deepspeed/base/error.h"

namespace deepspeed::formats {
namespace {

static_assert(std::endian::native == std::endian::little, "the file's numbers are read as they lie");

constexpr size_t kHeaderBytes = 9 + 8 + 1 + 8 + 8;
constexpr std::string_view kLegacyMagic{"TNTIDX\0\0", 8};

// The arrays are not aligned within the file.
template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

void check_magic(std::span<const std::byte> image, const std::string& name) {
  const std::string_view start(reinterpret_cast<const char*>(image.data()),
                               std::min(image.size(), MegatronIndex::kMagic.size()));
  DS_CHECK(!start.starts_with(kLegacyMagic),
           "'{}' is an index of the older kind TNTIDX, which is not available: write it again with "
           "Megatron's preprocess_data.py (kind MMIDIDX)",
           name);
  DS_CHECK(start == MegatronIndex::kMagic, "'{}' is no Megatron index: it does not begin with MMIDIDX", name);
  DS_CHECK(image.size() >= kHeaderBytes, "'{}' is cut short: {} bytes, fewer than its header of {}", name,
           image.size(), kHeaderBytes);
}

}  // namespace

MegatronIndex::MegatronIndex(const std::filesystem::path& path, uint64_t data_bytes) : mapped_(path) {
  parse(mapped_->bytes(), path.string(), data_bytes);
}

MegatronIndex MegatronIndex::from_bytes(std::span<const std::byte> image, const std::string& name,
                                        uint64_t data_bytes) {
  MegatronIndex made;
  made.parse(image, name, data_bytes);
  return made;
}

void MegatronIndex::parse(std::span<const std::byte> image, const std::string& name, uint64_t data_bytes) {
  check_magic(image, name);
  const std::byte* at = image.data() + kMagic.size();
  const auto version = load<uint64_t>(at);
  DS_CHECK(version == 1, "'{}' has version {}; only version 1 can be read", name, version);
  const auto code = load<uint8_t>(at + 8);
  const auto sequences = load<uint64_t>(at + 9), marks = load<uint64_t>(at + 17);
  // Divisions, so that no count can overflow a product.
  const uint64_t body = image.size() - kHeaderBytes;
  DS_CHECK(sequences <= body / 12, "'{}' has room for {} sequences, not the {} it claims: it is cut short",
           name, body / 12, sequences);
  const uint64_t rest = body - sequences * 12;
  DS_CHECK(marks <= rest / 8, "'{}' has room for {} document marks, not the {} it claims: it is cut short",
           name, rest / 8, marks);
  const uint64_t surplus = rest - marks * 8;
  DS_CHECK(surplus == 0 || surplus != sequences,
           "'{}' is a multimodal index (a mode for every sequence), which is not available", name);
  DS_CHECK(surplus == 0, "'{}' has {} bytes after its end", name, surplus);
  sequences_ = static_cast<int64_t>(sequences);
  lengths_ = image.data() + kHeaderBytes;
  offsets_ = lengths_ + sequences * 4;
  marks_ = offsets_ + sequences * 8;
  type_ = token_type(code, name, data_bytes);
  check_sequences(name, data_bytes);
  check_documents(name, static_cast<int64_t>(marks));
}

TokenType MegatronIndex::token_type(uint8_t code, const std::string& name, uint64_t data_bytes) const {
  static constexpr std::array<TokenType, 6> kAgreed{
      {{}, {1, false}, {1, true}, {2, true}, {4, true}, {8, true}}};
  if (code >= 1 && code < kAgreed.size()) return kAgreed[code];
  DS_CHECK(code >= 6 && code <= 8, "'{}': type code {} is unknown (1 to 8 are)", name, code);
  if (code == 7) return {4, false};
  uint64_t tokens = 0;
  for (int64_t i = 0; i < sequences_; ++i) tokens += static_cast<uint64_t>(length(i));
  const bool eight_bytes = tokens != 0 && data_bytes / 8 == tokens && data_bytes % 8 == 0;
  DS_CHECK(code == 8 || !eight_bytes, "'{}': type code 6 with 8 bytes a token means float64, not token ids",
           name);
  return {code == 8 && eight_bytes ? 8 : 2, false};
}

void MegatronIndex::check_sequences(const std::string& name, uint64_t data_bytes) const {
  for (int64_t i = 0; i < sequences_; ++i) {
    const int64_t tokens = length(i), begin = offset(i);
    DS_CHECK(tokens >= 0 && begin >= 0, "'{}': sequence {} has length {} and offset {}", name, i, tokens,
             begin);
    // At most 2^31 tokens of 8 bytes: no overflow.
    const auto bytes = static_cast<uint64_t>(tokens * type_.bytes), from = static_cast<uint64_t>(begin);
    DS_CHECK(from <= data_bytes && bytes <= data_bytes - from,
             "'{}': sequence {} takes bytes {} to {} of a .bin that has {}", name, i, from, from + bytes,
             data_bytes);
  }
}

void MegatronIndex::check_documents(const std::string& name, int64_t marks) {
  for (int64_t i = 0; i < marks; ++i) {
    const auto mark = load<int64_t>(marks_ + i * 8), least = i == 0 ? 0 : load<int64_t>(marks_ + i * 8 - 8);
    DS_CHECK(mark >= least && mark <= sequences_ && (i > 0 || mark == 0),
             "'{}': document mark {} is {}, but marks rise from 0 to the number of sequences, {}", name, i,
             mark, sequences_);
  }
  marked_ = marks > 1;
  documents_ = marked_ ? marks - 1 : sequences_;
  DS_CHECK(!marked_ || first_sequence(documents_) == sequences_,
           "'{}': the documents end at sequence {} of {}", name, first_sequence(documents_), sequences_);
}

int64_t MegatronIndex::length(int64_t sequence) const { return load<int32_t>(lengths_ + sequence * 4); }

int64_t MegatronIndex::offset(int64_t sequence) const { return load<int64_t>(offsets_ + sequence * 8); }

int64_t MegatronIndex::first_sequence(int64_t document) const {
  return marked_ ? load<int64_t>(marks_ + document * 8) : document;
}

}  // namespace deepspeed::formats
