#include "deepspeed/formats/mapped_tensor.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"

namespace deepspeed::formats {
namespace {

void check_range(const MappedTensor& tensor, size_t begin, size_t count) {
  const size_t elements = tensor.elements();
  DS_CHECK(begin <= elements && count <= elements - begin, "tensor '{}' of shape {} has no elements {} to {}",
           shown(tensor.name), shape_text(tensor.shape), begin, begin + count);
}

// Bytes [begin, begin + out.size()) of the tensor's.
void copy_bytes(const MappedTensor& tensor, size_t begin, std::span<std::byte> out) {
  if (out.empty()) return;
  const auto from = tensor.bytes.subspan(begin, out.size());
  if (tensor.file)
    base::copy_mapped(from, out.data(), *tensor.file, tensor.offset + begin);
  else
    std::memcpy(out.data(), from.data(), from.size());
}

template <size_t kBytes>
void copy_run(const std::byte* from, int64_t stride, size_t count, std::byte* out) {
  for (size_t i = 0; i < count; ++i)
    std::memcpy(out + i * kBytes, from + static_cast<ptrdiff_t>(i) * stride * static_cast<ptrdiff_t>(kBytes),
                kBytes);
}

void copy_run(size_t width, const std::byte* from, int64_t stride, size_t count, std::byte* out) {
  switch (width) {
    case 1:
      return copy_run<1>(from, stride, count, out);
    case 2:
      return copy_run<2>(from, stride, count, out);
    case 4:
      return copy_run<4>(from, stride, count, out);
    default:
      return copy_run<8>(from, stride, count, out);
  }
}

// Walks the index of a tensor that is not contiguous, one run along its last dimension at a time. `bytes`:
// all of the tensor's.
void gather(const MappedTensor& tensor, const std::byte* bytes, size_t begin, size_t count, std::byte* out) {
  const size_t width = block_bytes(tensor.encoding), dimensions = tensor.shape.size();
  std::vector<int64_t> index(dimensions);
  int64_t at = 0;  // of the element, in elements
  for (size_t d = dimensions, rest = begin; d-- > 0;) {
    const auto size = static_cast<size_t>(tensor.shape[d]);
    index[d] = static_cast<int64_t>(rest % size);
    rest /= size;
    at += index[d] * tensor.strides[d];
  }
  const size_t last = dimensions - 1;
  while (count > 0) {
    const size_t run = std::min(count, static_cast<size_t>(tensor.shape[last] - index[last]));
    copy_run(width, bytes + static_cast<size_t>(at) * width, tensor.strides[last], run, out);
    out += run * width;
    count -= run;
    if (count == 0) return;
    at -= index[last] * tensor.strides[last];
    index[last] = 0;
    for (size_t d = last; d-- > 0;) {
      at += tensor.strides[d];
      if (++index[d] < tensor.shape[d]) break;
      at -= index[d] * tensor.strides[d];
      index[d] = 0;
    }
  }
}

// A copy of the bytes of a tensor that is not contiguous: its elements lie anywhere in them.
std::vector<std::byte> whole_bytes(const MappedTensor& tensor) {
  std::vector<std::byte> bytes(tensor.bytes.size());
  copy_bytes(tensor, 0, bytes);
  return bytes;
}

// Blocks that are copied and decoded at once.
constexpr size_t kPart = size_t{64} << 10;

void read_block_floats(const MappedTensor& tensor, BlockType type, size_t begin, size_t count, float* out) {
  const size_t elements = block_elements(type), width = block_bytes(type), most = kPart / width;
  std::vector<std::byte> part(std::min(most, count / elements + 2) * width);
  while (count > 0) {
    const size_t block = begin / elements, inside = begin % elements;
    const size_t whole = inside == 0 ? std::min(most, count / elements) : 0;
    const size_t blocks = std::max<size_t>(whole, 1);
    copy_bytes(tensor, block * width, std::span(part).first(blocks * width));
    size_t done = whole * elements;
    if (whole > 0) {
      decode_blocks(type, part.data(), whole, out);
    } else {
      std::array<float, 256> decoded;
      decode_blocks(type, part.data(), 1, decoded.data());
      done = std::min(count, elements - inside);
      std::copy_n(decoded.data() + inside, done, out);
    }
    begin += done;
    count -= done;
    out += done;
  }
}

}  // namespace

std::optional<Dtype> MappedTensor::dtype() const {
  const auto* dtype = std::get_if<Dtype>(&encoding);
  return dtype != nullptr ? std::optional(*dtype) : std::nullopt;
}

bool strides_are_contiguous(std::span<const int64_t> shape, std::span<const int64_t> strides) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return true;
  int64_t expected = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    if (shape[d] != 1 && strides[d] != expected) return false;
    expected *= shape[d];
  }
  return true;
}

void place_in_file(std::span<MappedTensor> tensors, std::span<const std::byte> mapping,
                   const std::filesystem::path& file) {
  const auto name = std::make_shared<const std::filesystem::path>(file);
  for (MappedTensor& tensor : tensors) {
    if (tensor.bytes.empty()) continue;
    tensor.file = name;
    tensor.offset = static_cast<size_t>(tensor.bytes.data() - mapping.data());
  }
}

void read_elements(const MappedTensor& tensor, size_t begin, size_t count, std::span<std::byte> out) {
  const auto dtype = tensor.dtype();
  DS_CHECK(dtype.has_value(), "tensor '{}' is quantized ({}): it can only be read as floats",
           shown(tensor.name), encoding_name(tensor.encoding));
  check_range(tensor, begin, count);
  const size_t width = dtype_size(*dtype);
  DS_CHECK(out.size() == count * width, "tensor '{}': {} elements of type {} do not fill {} bytes",
           shown(tensor.name), count, dtype_name(*dtype), out.size());
  if (count == 0) return;
  if (tensor.contiguous()) return copy_bytes(tensor, begin * width, out);
  gather(tensor, whole_bytes(tensor).data(), begin, count, out.data());
}

void read_floats(const MappedTensor& tensor, size_t begin, size_t count, float* out) {
  check_range(tensor, begin, count);
  if (const auto* type = std::get_if<BlockType>(&tensor.encoding))
    return read_block_floats(tensor, *type, begin, count, out);
  const Dtype dtype = *tensor.dtype();
  DS_CHECK(dtype == Dtype::kF32 || dtype == Dtype::kF16 || dtype == Dtype::kBF16 || dtype == Dtype::kF64,
           "tensor '{}' holds {} elements, not floating point", shown(tensor.name), dtype_name(dtype));
  const size_t width = dtype_size(dtype), most = kPart / width;
  const std::vector<std::byte> gathered =
      tensor.contiguous() ? std::vector<std::byte>() : whole_bytes(tensor);
  std::vector<std::byte> part(std::min(most, count) * width);
  for (size_t done = 0; done < count; done += std::min(most, count - done)) {
    const size_t now = std::min(most, count - done);
    if (tensor.contiguous())
      copy_bytes(tensor, (begin + done) * width, std::span(part).first(now * width));
    else
      gather(tensor, gathered.data(), begin + done, now, part.data());
    convert_to_floats(dtype, part.data(), now, out + done);
  }
}

}  // namespace deepspeed::formats
