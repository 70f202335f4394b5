// The keys and values of a GGUF file (github.com/ggml-org/ggml, docs/gguf.md).
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/formats/byte_reader.h"

namespace deepspeed::formats {

/// Types of values, by the numbers that stand for them in files.
enum class GgufType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kText,
  kArray,
  kU64,
  kI64,
  kF64
};

/// "U8", "text", "array".
const char* gguf_type_name(GgufType type);

/// One value as it lies in the file, checked to be whole.
struct GgufValue {
  GgufType type = GgufType::kU8;
  GgufType element_type = GgufType::kU8;  // of an array
  uint64_t count = 1;                     // elements of an array
  std::span<const std::byte> bytes;       // without the array's own header
};

/// What the file says of its model: "general.architecture", "llama.block_count", "tokenizer.ggml.tokens".
/// Values are views of the file, which must outlive this object; arrays become vectors when they are asked
/// for. Asking for a key that is not there, or for another type, is an Error that names file and key.
class GgufMetadata {
 public:
  /// Reads `count` pairs. Keys are not empty and appear once, types are known, arrays nest at most 4 deep.
  GgufMetadata(ByteReader& reader, uint64_t count, const std::string& where);

  bool contains(std::string_view key) const { return values_.find(key) != values_.end(); }
  /// All keys, sorted.
  std::vector<std::string_view> keys() const;
  const GgufValue& value(std::string_view key) const;

  std::string_view text(std::string_view key) const;
  bool boolean(std::string_view key) const;
  /// A value of any whole-number type that fits 64 bits with a sign.
  int64_t integer(std::string_view key) const;
  /// A value of any number type.
  double number(std::string_view key) const;

  std::vector<std::string_view> texts(std::string_view key) const;
  std::vector<bool> booleans(std::string_view key) const;
  std::vector<int64_t> integers(std::string_view key) const;
  std::vector<double> numbers(std::string_view key) const;
  /// The arrays in an array of arrays.
  std::vector<GgufValue> arrays(std::string_view key) const;

 private:
  const GgufValue& array(std::string_view key) const;
  [[noreturn]] void fail_type(std::string_view key, const char* wanted) const;

  std::string where_;
  std::map<std::string_view, GgufValue, std::less<>> values_;  // keys are views of the file
};

}  // namespace deepspeed::formats
