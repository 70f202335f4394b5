// The .idx half of a Megatron indexed dataset (Megatron-LM's megatron/core/datasets/indexed_dataset.py, class
// _IndexReader, and DeepSpeed's runtime/data_pipeline/data_sampling/indexed_dataset.py): which bytes of the
// .bin half are which sequence, and which sequences are one document.
//
// All numbers are little-endian: "MMIDIDX\0\0", uint64 version 1, uint8 type, uint64 number of sequences N,
// uint64 number of document marks D, int32 lengths[N], int64 offsets[N] in bytes, int64 documents[D].
// Type codes: 1 uint8, 2 int8, 3 int16, 4 int32, 5 int64. Beyond these the writers disagree: Megatron means
// 6 float64, 7 float32, 8 uint16, DeepSpeed 6 uint16, 7 uint32, 8 uint64. Floats are no token ids, so 7 is
// read as uint32, and 6 and 8 as what the .bin's size makes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "deepspeed/base/file.h"

namespace deepspeed::formats {

/// Type of the stored token ids.
struct TokenType {
  int bytes = 0;
  bool is_signed = false;
};

/// One mapped .idx, checked when it is opened: magic, version, type, the file's exact size, every sequence
/// within the .bin's bytes, document marks rising from 0 to N. Every violation is an Error that names file
/// and sequence. Marks that hold only 0 (as DeepSpeed's writers leave them) make each sequence a document.
class MegatronIndex {
 public:
  static constexpr std::string_view kMagic{"MMIDIDX\0\0", 9};

  /// `data_bytes` is the size of the .bin.
  MegatronIndex(const std::filesystem::path& path, uint64_t data_bytes);
  /// A file image in memory, which must outlive the result; `name` stands for the path in messages.
  static MegatronIndex from_bytes(std::span<const std::byte> image, const std::string& name,
                                  uint64_t data_bytes);

  TokenType type() const { return type_; }
  int64_t sequences() const { return sequences_; }
  /// In tokens.
  int64_t length(int64_t sequence) const;
  /// Of its first token in the .bin, in bytes.
  int64_t offset(int64_t sequence) const;

  int64_t documents() const { return documents_; }
  /// The first sequence of a document; for documents(): sequences().
  int64_t first_sequence(int64_t document) const;

 private:
  MegatronIndex() = default;
  void parse(std::span<const std::byte> image, const std::string& name, uint64_t data_bytes);
  TokenType token_type(uint8_t code, const std::string& name, uint64_t data_bytes) const;
  void check_sequences(const std::string& name, uint64_t data_bytes) const;
  void check_documents(const std::string& name, int64_t marks);

  std::optional<base::MappedFile> mapped_;
  TokenType type_;
  int64_t sequences_ = 0, documents_ = 0;
  bool marked_ = false;  // whether documents are marked
  const std::byte *lengths_ = nullptr, *offsets_ = nullptr, *marks_ = nullptr;
};

}  // namespace deepspeed::formats
