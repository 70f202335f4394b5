#include "deepspeed/formats/gguf_metadata.h"

#include <array>
#include <limits>
#include <optional>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/dtype.h"

namespace deepspeed::formats {
namespace {

struct Row {
  const char* name;
  size_t bytes;  // of one value; 0 where it varies
};

// By GgufType.
constexpr std::array<Row, 13> kRows = {{{"U8", 1},
                                        {"I8", 1},
                                        {"U16", 2},
                                        {"I16", 2},
                                        {"U32", 4},
                                        {"I32", 4},
                                        {"F32", 4},
                                        {"boolean", 1},
                                        {"text", 0},
                                        {"array", 0},
                                        {"U64", 8},
                                        {"I64", 8},
                                        {"F64", 8}}};
constexpr int kMaxArrayDepth = 4;
constexpr size_t kSmallestPair = 8 + 1 + 4 + 1;  // a key of one letter and a value of one byte
constexpr size_t kMaxKeyBytes = 65535;

const Row& row(GgufType type) { return kRows[static_cast<size_t>(type)]; }

GgufType read_type(ByteReader& reader) {
  const size_t at = reader.at();
  const auto type = reader.number<uint32_t>("type of a value");
  if (type >= kRows.size()) reader.fail_at(at, "value type {} is unknown", type);
  return static_cast<GgufType>(type);
}

std::string_view read_text(ByteReader& reader, const char* what) {
  const auto length = reader.number<uint64_t>(what);
  return reader.text(length, what);
}

GgufValue read_array(ByteReader& reader, int depth);

// Passes over `count` values of a type.
void skip_values(ByteReader& reader, GgufType type, uint64_t count, int depth) {
  // Text begins with its length, an array with its type as well.
  const size_t least = type == GgufType::kText ? 8 : type == GgufType::kArray ? 12 : row(type).bytes;
  if (count > reader.remaining() / least)
    reader.fail("{} values of at least {} bytes are claimed, but only {} bytes are left", count, least,
                reader.remaining());
  if (type == GgufType::kText) {
    for (uint64_t i = 0; i < count; ++i) read_text(reader, "text");
  } else if (type == GgufType::kArray) {
    for (uint64_t i = 0; i < count; ++i) read_array(reader, depth + 1);
  } else {
    const size_t at = reader.at();
    const auto bytes = reader.bytes(count * row(type).bytes, "an array");
    if (type == GgufType::kBool)
      for (size_t i = 0; i < bytes.size(); ++i)
        if (std::to_integer<int>(bytes[i]) > 1)
          reader.fail_at(at + i, "a boolean is {}, neither 0 nor 1", std::to_integer<int>(bytes[i]));
  }
}

// Behind the type: element type, count, elements.
GgufValue read_array(ByteReader& reader, int depth) {
  if (depth > kMaxArrayDepth) reader.fail("arrays within arrays deeper than {}", kMaxArrayDepth);
  GgufValue value{GgufType::kArray, read_type(reader)};
  value.count = reader.number<uint64_t>("length of an array");
  ByteReader start = reader;
  skip_values(reader, value.element_type, value.count, depth);
  value.bytes = start.bytes(reader.at() - start.at(), "an array");
  return value;
}

GgufValue read_value(ByteReader& reader) {
  const GgufType type = read_type(reader);
  if (type == GgufType::kArray) return read_array(reader, 1);
  GgufValue value{type};
  ByteReader start = reader;
  skip_values(reader, type, 1, 0);
  value.bytes = start.bytes(reader.at() - start.at(), "a value");
  return value;
}

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Nothing for other types and for what does not fit.
std::optional<int64_t> integer_at(GgufType type, const std::byte* at) {
  switch (type) {
    case GgufType::kU8:
      return load<uint8_t>(at);
    case GgufType::kI8:
      return load<int8_t>(at);
    case GgufType::kU16:
      return load<uint16_t>(at);
    case GgufType::kI16:
      return load<int16_t>(at);
    case GgufType::kU32:
      return load<uint32_t>(at);
    case GgufType::kI32:
      return load<int32_t>(at);
    case GgufType::kI64:
      return load<int64_t>(at);
    case GgufType::kU64: {
      const auto value = load<uint64_t>(at);
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
      return static_cast<int64_t>(value);
    }
    default:
      return std::nullopt;
  }
}

std::optional<double> number_at(GgufType type, const std::byte* at) {
  if (type == GgufType::kF32) return load<float>(at);
  if (type == GgufType::kF64) return load<double>(at);
  if (type == GgufType::kU64) return static_cast<double>(load<uint64_t>(at));
  if (const auto integer = integer_at(type, at)) return static_cast<double>(*integer);
  return std::nullopt;
}

}  // namespace

const char* gguf_type_name(GgufType type) { return row(type).name; }

GgufMetadata::GgufMetadata(ByteReader& reader, uint64_t count, const std::string& where) : where_(where) {
  if (count > reader.remaining() / kSmallestPair)
    reader.fail("the file claims {} metadata values, but only {} bytes are left", count, reader.remaining());
  for (uint64_t i = 0; i < count; ++i) {
    const size_t at = reader.at();
    const std::string_view key = read_text(reader, "a metadata key");
    if (key.empty() || key.size() > kMaxKeyBytes)
      reader.fail_at(at, "a metadata key has {} bytes; 1 to {} are allowed", key.size(), kMaxKeyBytes);
    if (!values_.emplace(key, read_value(reader)).second)
      reader.fail_at(at, "metadata key '{}' appears twice", shown(key));
  }
}

std::vector<std::string_view> GgufMetadata::keys() const {
  std::vector<std::string_view> keys;
  keys.reserve(values_.size());
  for (const auto& [key, value] : values_) keys.push_back(key);
  return keys;
}

const GgufValue& GgufMetadata::value(std::string_view key) const {
  const auto found = values_.find(key);
  DS_CHECK(found != values_.end(), "'{}' has no metadata '{}'", where_, shown(key));
  return found->second;
}

void GgufMetadata::fail_type(std::string_view key, const char* wanted) const {
  const GgufValue& found = value(key);
  if (found.type == GgufType::kArray)
    base::fail("'{}': metadata '{}' should be {}, not an array of {}", where_, shown(key), wanted,
               gguf_type_name(found.element_type));
  base::fail("'{}': metadata '{}' should be {}, not {}", where_, shown(key), wanted,
             gguf_type_name(found.type));
}

std::string_view GgufMetadata::text(std::string_view key) const {
  const GgufValue& found = value(key);
  if (found.type != GgufType::kText) fail_type(key, "text");
  const auto bytes = found.bytes.subspan(8);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool GgufMetadata::boolean(std::string_view key) const {
  const GgufValue& found = value(key);
  if (found.type != GgufType::kBool) fail_type(key, "a boolean");
  return found.bytes[0] != std::byte{0};
}

int64_t GgufMetadata::integer(std::string_view key) const {
  const GgufValue& found = value(key);
  const auto integer = integer_at(found.type, found.bytes.data());
  if (!integer) fail_type(key, "a whole number below 2^63");
  return *integer;
}

double GgufMetadata::number(std::string_view key) const {
  const GgufValue& found = value(key);
  const auto number = number_at(found.type, found.bytes.data());
  if (!number) fail_type(key, "a number");
  return *number;
}

const GgufValue& GgufMetadata::array(std::string_view key) const {
  const GgufValue& found = value(key);
  if (found.type != GgufType::kArray) fail_type(key, "an array");
  return found;
}

std::vector<std::string_view> GgufMetadata::texts(std::string_view key) const {
  const GgufValue& found = array(key);
  if (found.element_type != GgufType::kText) fail_type(key, "an array of text");
  std::vector<std::string_view> texts;
  texts.reserve(found.count);  // each takes 8 bytes of the file at least
  ByteReader reader(found.bytes, where_);
  for (uint64_t i = 0; i < found.count; ++i) texts.push_back(read_text(reader, "text"));
  return texts;
}

std::vector<bool> GgufMetadata::booleans(std::string_view key) const {
  const GgufValue& found = array(key);
  if (found.element_type != GgufType::kBool) fail_type(key, "an array of booleans");
  std::vector<bool> booleans;
  booleans.reserve(found.count);
  for (std::byte byte : found.bytes) booleans.push_back(byte != std::byte{0});
  return booleans;
}

std::vector<int64_t> GgufMetadata::integers(std::string_view key) const {
  const GgufValue& found = array(key);
  const size_t width = row(found.element_type).bytes;
  std::vector<int64_t> integers;
  integers.reserve(width == 0 ? 0 : found.count);
  for (uint64_t i = 0; i < found.count; ++i) {
    const auto integer = integer_at(found.element_type, found.bytes.data() + i * width);
    if (!integer) fail_type(key, "an array of whole numbers below 2^63");
    integers.push_back(*integer);
  }
  return integers;
}

std::vector<double> GgufMetadata::numbers(std::string_view key) const {
  const GgufValue& found = array(key);
  const size_t width = row(found.element_type).bytes;
  std::vector<double> numbers;
  numbers.reserve(width == 0 ? 0 : found.count);
  for (uint64_t i = 0; i < found.count; ++i) {
    const auto number = number_at(found.element_type, found.bytes.data() + i * width);
    if (!number) fail_type(key, "an array of numbers");
    numbers.push_back(*number);
  }
  return numbers;
}

std::vector<GgufValue> GgufMetadata::arrays(std::string_view key) const {
  const GgufValue& found = array(key);
  if (found.element_type != GgufType::kArray) fail_type(key, "an array of arrays");
  std::vector<GgufValue> arrays;
  ByteReader reader(found.bytes, where_);
  for (uint64_t i = 0; i < found.count; ++i) arrays.push_back(read_array(reader, 1));
  return arrays;
}

}  // namespace deepspeed::formats
