// Pickles spelled out, right and wrong, for the tests of this folder. Each function gives the bytes that push
// one value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "zip_images.h"

namespace deepspeed::formats::pickles {

inline std::string text(std::string_view value) {
  std::string out = "X";
  append<uint32_t>(out, static_cast<uint32_t>(value.size()));
  return out.append(value);
}
inline std::string number(int64_t value) {
  std::string out("\x8a\x08", 2);
  append<int64_t>(out, value);
  return out;
}
inline std::string none() { return "N"; }
inline std::string global(std::string_view module, std::string_view name) {
  return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}
inline std::string tuple(const std::vector<std::string>& values) {
  std::string out = "(";
  for (const auto& value : values) out += value;
  return out + "t";
}
inline std::string numbers(const std::vector<int64_t>& values) {
  std::vector<std::string> items;
  for (int64_t value : values) items.push_back(number(value));
  return tuple(items);
}
inline std::string list(const std::vector<std::string>& values) {
  std::string out = "](";
  for (const auto& value : values) out += value;
  return out + "e";
}
inline std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string out = "}(";
  for (const auto& [key, value] : items) out += key + value;
  return out + "u";
}
inline std::string call(const std::string& function, const std::vector<std::string>& arguments) {
  return function + tuple(arguments) + "R";
}
inline std::string storage(const std::string& key = "0", int64_t count = 4,
                           const std::string& type = "FloatStorage") {
  return tuple({text("storage"), global("torch", type), text(key), text("cpu"), number(count)}) + "Q";
}
/// A view of a storage.
inline std::string tensor(const std::string& storage, const std::string& offset, const std::string& shape,
                          const std::string& strides) {
  return call(global("torch._utils", "_rebuild_tensor_v2"),
              {storage, offset, shape, strides, "\x89", call(global("collections", "OrderedDict"), {})});
}
inline std::string tensor(int64_t offset, const std::vector<int64_t>& shape,
                          const std::vector<int64_t>& strides) {
  return tensor(storage(), number(offset), numbers(shape), numbers(strides));
}
inline std::string pickle(const std::string& value) { return "\x80\x02" + value + "."; }

/// A file of torch.save's with this pickle and a storage '0' of these bytes.
inline std::string file(const std::string& value, const std::string& bytes = std::string(16, '\0')) {
  return zip_image({{"m/data.pkl", pickle(value)}, {"m/data/0", bytes}}).bytes;
}
/// One that holds the tensor "a".
inline std::string file_of(const std::string& tensor, const std::string& bytes = std::string(16, '\0')) {
  return file(dict({{text("a"), tensor}}), bytes);
}

}  // namespace deepspeed::formats::pickles
