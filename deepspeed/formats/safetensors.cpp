#include "deepspeed/formats/safetensors.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <tuple>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/safetensors_header.h"

namespace deepspeed::formats {
namespace {

constexpr size_t kLengthBytes = 8;

size_t read_length(std::span<const std::byte> image, const std::string& where) {
  DS_CHECK(image.size() >= kLengthBytes, "'{}' is truncated: {} bytes are too few for a safetensors file",
           where, image.size());
  uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) length |= std::to_integer<uint64_t>(image[i]) << (8 * i);
  DS_CHECK(length <= kMaxHeaderBytes, "'{}': the header claims {} bytes, more than the {} allowed", where,
           length, kMaxHeaderBytes);
  DS_CHECK(length <= image.size() - kLengthBytes,
           "'{}' is truncated: the header needs {} bytes, the file has {}", where, length,
           image.size() - kLengthBytes);
  return static_cast<size_t>(length);
}

// Empty tensors may share an offset, so begin alone does not order them against their neighbours.
bool lies_before(const TensorInfo& a, const TensorInfo& b) {
  return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
}

void check_tiling(const std::vector<TensorInfo>& sorted, size_t data_bytes, const std::string& where) {
  size_t end = 0;
  for (const TensorInfo& info : sorted) {
    DS_CHECK(info.begin >= end, "'{}': tensor '{}' overlaps the one before it (begins at {}, should at {})",
             where, shown(info.name), info.begin, end);
    DS_CHECK(info.begin == end, "'{}': {} unused bytes before tensor '{}'", where, info.begin - end,
             shown(info.name));
    DS_CHECK(info.end <= data_bytes, "'{}' is truncated: tensor '{}' ends at {} of {} data bytes", where,
             shown(info.name), info.end, data_bytes);
    end = info.end;
  }
  DS_CHECK(end == data_bytes, "'{}': {} bytes after the last tensor", where, data_bytes - end);
}

// The reference library's order of types, which it calls rising alignment; files are written from its end.
int alignment_rank(Dtype dtype) {
  constexpr std::array kRising = {Dtype::kBool, Dtype::kU8,   Dtype::kI8,  Dtype::kI16, Dtype::kU16,
                                  Dtype::kF16,  Dtype::kBF16, Dtype::kI32, Dtype::kU32, Dtype::kF32,
                                  Dtype::kF64,  Dtype::kI64,  Dtype::kU64};
  return static_cast<int>(std::find(kRising.begin(), kRising.end(), dtype) - kRising.begin());
}

void check_view(const TensorView& view, const std::string& where) {
  DS_CHECK(view.name != "__metadata__", "'{}': a tensor cannot be named '__metadata__'", where);
  DS_CHECK(view.shape.size() <= kMaxDimensions, "'{}': tensor '{}' has more than {} dimensions", where,
           shown(view.name), kMaxDimensions);
  auto count = element_count(view.shape);
  size_t bytes = 0;
  DS_CHECK(
      count && !__builtin_mul_overflow(*count, dtype_size(view.dtype), &bytes) && bytes == byte_count(view),
      "'{}': tensor '{}' of type {} and shape {} does not match its {} bytes", where, shown(view.name),
      dtype_name(view.dtype), shape_text(view.shape), byte_count(view));
}

std::vector<size_t> write_order(const std::vector<TensorView>& tensors) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    int rank_a = alignment_rank(tensors[a].dtype), rank_b = alignment_rank(tensors[b].dtype);
    return rank_a != rank_b ? rank_a > rank_b : tensors[a].name < tensors[b].name;
  });
  return order;
}

}  // namespace

size_t byte_count(const TensorView& view) {
  if (!view.read) return view.data.size();
  return element_count(view.shape).value_or(0) * dtype_size(view.dtype);
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : path_(path), mapped_(std::in_place, path) {
  parse(mapped_->bytes());
}

SafetensorsFile SafetensorsFile::from_bytes(std::span<const std::byte> image,
                                            const std::filesystem::path& name) {
  SafetensorsFile file;
  file.path_ = name;
  file.parse(image);
  return file;
}

void SafetensorsFile::parse(std::span<const std::byte> image) {
  const std::string where = path_.string();
  const size_t length = read_length(image, where);
  SafetensorsHeader header =
      parse_safetensors_header({reinterpret_cast<const char*>(image.data()) + kLengthBytes, length}, where);
  data_begin_ = kLengthBytes + length;
  data_ = image.subspan(data_begin_);
  metadata_ = std::move(header.metadata);
  tensors_ = std::move(header.tensors);
  std::sort(tensors_.begin(), tensors_.end(), lies_before);
  check_tiling(tensors_, data_.size(), where);
  for (size_t i = 0; i < tensors_.size(); ++i) index_.emplace(tensors_[i].name, i);
}

const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

std::span<const std::byte> SafetensorsFile::data(const TensorInfo& info) const {
  DS_CHECK(info.begin <= info.end && info.end <= data_.size(), "tensor '{}' does not belong to '{}'",
           shown(info.name), path_.string());
  return data_.subspan(info.begin, info.end - info.begin);
}

void SafetensorsFile::read(const TensorInfo& info, size_t begin, std::span<std::byte> out) const {
  const auto all = data(info);
  DS_CHECK(begin <= all.size() && out.size() <= all.size() - begin,
           "tensor '{}' of '{}' has no bytes {} to {}", shown(info.name), path_.string(), begin,
           begin + out.size());
  base::copy_mapped(all.subspan(begin, out.size()), out.data(), path_, data_begin_ + info.begin + begin);
}

void write_safetensors(base::AtomicFile& file, const std::filesystem::path& name,
                       const std::vector<TensorView>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::string where = name.string();
  SafetensorsHeader header{{}, metadata};
  const std::vector<size_t> order = write_order(tensors);
  size_t offset = 0;
  std::unordered_map<std::string_view, size_t> seen;
  for (size_t i : order) {
    const TensorView& view = tensors[i];
    check_view(view, where);
    DS_CHECK(seen.emplace(view.name, i).second, "'{}': tensor '{}' is given twice", where, shown(view.name));
    const size_t begin = offset;
    DS_CHECK(!__builtin_add_overflow(offset, byte_count(view), &offset), "'{}': the tensors' sizes overflow",
             where);
    header.tensors.push_back({view.name, view.dtype, view.shape, begin, offset});
  }
  const std::string text = format_safetensors_header(header, where);
  DS_CHECK(text.size() <= kMaxHeaderBytes, "'{}': the header takes {} bytes, more than the {} allowed", where,
           text.size(), kMaxHeaderBytes);
  std::array<std::byte, kLengthBytes> length;
  for (size_t i = 0; i < kLengthBytes; ++i)
    length[i] = static_cast<std::byte>(uint64_t{text.size()} >> (8 * i));
  file.write(std::span<const std::byte>(length));
  file.write(text);
  std::vector<std::byte> memory;  // for one tensor that is elsewhere
  for (size_t i : order) {
    if (tensors[i].read) {
      memory.resize(byte_count(tensors[i]));
      tensors[i].read(memory);
    }
    file.write(tensors[i].read ? std::span<const std::byte>(memory) : tensors[i].data);
  }
}

void write_safetensors(const std::filesystem::path& path, const std::vector<TensorView>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  base::AtomicFile file(path);
  write_safetensors(file, path, tensors, metadata);
  file.commit();
}

}  // namespace deepspeed::formats
