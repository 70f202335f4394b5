#include "deepspeed/formats/dtype.h"

#include <fmt/ranges.h>

#include <array>

namespace deepspeed::formats {
namespace {

struct Row {
  Dtype dtype;
  const char* name;
  size_t size;
};

constexpr std::array kRows = {
    Row{Dtype::kF64, "F64", 8},   Row{Dtype::kF32, "F32", 4}, Row{Dtype::kF16, "F16", 2},
    Row{Dtype::kBF16, "BF16", 2}, Row{Dtype::kI64, "I64", 8}, Row{Dtype::kI32, "I32", 4},
    Row{Dtype::kI16, "I16", 2},   Row{Dtype::kI8, "I8", 1},   Row{Dtype::kU8, "U8", 1},
    Row{Dtype::kBool, "BOOL", 1}, Row{Dtype::kU16, "U16", 2}, Row{Dtype::kU32, "U32", 4},
    Row{Dtype::kU64, "U64", 8}};

constexpr const Row& row(Dtype dtype) { return kRows[static_cast<size_t>(dtype)]; }

constexpr bool rows_follow_the_enum() {
  for (size_t i = 0; i < kRows.size(); ++i)
    if (static_cast<size_t>(kRows[i].dtype) != i) return false;
  return true;
}
static_assert(rows_follow_the_enum());

}  // namespace

size_t dtype_size(Dtype dtype) { return row(dtype).size; }
const char* dtype_name(Dtype dtype) { return row(dtype).name; }

std::optional<Dtype> parse_dtype(std::string_view name) {
  for (const Row& r : kRows)
    if (name == r.name) return r.dtype;
  return std::nullopt;
}

std::optional<size_t> element_count(std::span<const int64_t> shape) {
  int64_t count = 1;
  for (int64_t size : shape)
    if (size < 0 || __builtin_mul_overflow(count, size, &count)) return std::nullopt;
  return static_cast<size_t>(count);
}

std::string shape_text(std::span<const int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::string shown(std::string_view text) {
  constexpr size_t kMost = 200;
  std::string result(text.substr(0, kMost));
  for (char& c : result)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text.size() <= kMost ? result : result + "...";
}

}  // namespace deepspeed::formats
