// GGUF files made in memory, right and wrong, for the tests of this folder.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/formats/gguf.h"
#include "zip_images.h"

namespace deepspeed::formats {

/// The parts of a GGUF file, each as its bytes; counts are those of the lists unless they are set.
struct GgufImage {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::vector<std::string> values, tensors;
  uint64_t tensor_count = ~uint64_t{0} - 1, value_count = ~uint64_t{0} - 1;
  uint32_t alignment = 32;  // of the padding in front of the data
  std::string data;

  std::string bytes() const {
    constexpr uint64_t kAsListed = ~uint64_t{0} - 1;
    std::string out = magic;
    append<uint32_t>(out, version);
    append<uint64_t>(out, tensor_count == kAsListed ? tensors.size() : tensor_count);
    append<uint64_t>(out, value_count == kAsListed ? values.size() : value_count);
    for (const auto& value : values) out += value;
    for (const auto& tensor : tensors) out += tensor;
    out.resize((out.size() + alignment - 1) / alignment * alignment);
    return out + data;
  }
};

inline std::string gguf_text(std::string_view text) {
  std::string out;
  append<uint64_t>(out, text.size());
  return out.append(text);
}
/// A pair; `value` without its type.
inline std::string gguf_pair(std::string_view key, GgufType type, const std::string& value) {
  std::string out = gguf_text(key);
  append<uint32_t>(out, static_cast<uint32_t>(type));
  return out + value;
}
template <class T>
std::string gguf_pair_of(std::string_view key, GgufType type, T value) {
  std::string bytes;
  append<T>(bytes, value);
  return gguf_pair(key, type, bytes);
}
/// An array; `elements` as their bytes.
inline std::string gguf_array(std::string_view key, GgufType type, uint64_t count,
                              const std::string& elements) {
  std::string bytes;
  append<uint32_t>(bytes, static_cast<uint32_t>(type));
  append<uint64_t>(bytes, count);
  return gguf_pair(key, GgufType::kArray, bytes + elements);
}
/// `dimensions` as the file has them: innermost first.
inline std::string gguf_tensor(std::string_view name, const std::vector<int64_t>& dimensions,
                               uint32_t type = 0, uint64_t offset = 0) {
  std::string out = gguf_text(name);
  append<uint32_t>(out, static_cast<uint32_t>(dimensions.size()));
  for (int64_t dimension : dimensions) append<int64_t>(out, dimension);
  append<uint32_t>(out, type);
  append<uint64_t>(out, offset);
  return out;
}

}  // namespace deepspeed::formats
