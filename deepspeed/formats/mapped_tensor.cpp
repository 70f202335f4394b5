#include "deepspeed/formats/mapped_tensor.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "deepspeed/base/error.h"

namespace deepspeed::formats {
namespace {

void check_range(const MappedTensor& tensor, size_t begin, size_t count) {
  const size_t elements = tensor.elements();
  DS_CHECK(begin <= elements && count <= elements - begin, "tensor '{}' of shape {} has no elements {} to {}",
           shown(tensor.name), shape_text(tensor.shape), begin, begin + count);
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

// Walks the index of a tensor that is not contiguous, one run along its last dimension at a time.
void gather(const MappedTensor& tensor, size_t begin, size_t count, std::byte* out) {
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
    copy_run(width, tensor.bytes.data() + static_cast<size_t>(at) * width, tensor.strides[last], run, out);
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

void read_block_floats(const MappedTensor& tensor, BlockType type, size_t begin, size_t count, float* out) {
  const size_t elements = block_elements(type), width = block_bytes(type);
  while (count > 0) {
    const std::byte* block = tensor.bytes.data() + begin / elements * width;
    const size_t inside = begin % elements;
    size_t done = 0;
    if (inside == 0 && count >= elements) {
      done = count / elements * elements;
      decode_blocks(type, block, count / elements, out);
    } else {
      std::array<float, 256> whole;
      decode_blocks(type, block, 1, whole.data());
      done = std::min(count, elements - inside);
      std::copy_n(whole.data() + inside, done, out);
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

void read_elements(const MappedTensor& tensor, size_t begin, size_t count, std::span<std::byte> out) {
  const auto dtype = tensor.dtype();
  DS_CHECK(dtype.has_value(), "tensor '{}' is quantized ({}): it can only be read as floats",
           shown(tensor.name), encoding_name(tensor.encoding));
  check_range(tensor, begin, count);
  const size_t width = dtype_size(*dtype);
  DS_CHECK(out.size() == count * width, "tensor '{}': {} elements of type {} do not fill {} bytes",
           shown(tensor.name), count, dtype_name(*dtype), out.size());
  if (count == 0) return;
  if (!tensor.contiguous()) return gather(tensor, begin, count, out.data());
  std::memcpy(out.data(), tensor.bytes.data() + begin * width, count * width);
}

void read_floats(const MappedTensor& tensor, size_t begin, size_t count, float* out) {
  check_range(tensor, begin, count);
  if (const auto* type = std::get_if<BlockType>(&tensor.encoding))
    return read_block_floats(tensor, *type, begin, count, out);
  const Dtype dtype = *tensor.dtype();
  DS_CHECK(dtype == Dtype::kF32 || dtype == Dtype::kF16 || dtype == Dtype::kBF16 || dtype == Dtype::kF64,
           "tensor '{}' holds {} elements, not floating point", shown(tensor.name), dtype_name(dtype));
  const size_t width = dtype_size(dtype);
  if (tensor.contiguous()) return convert_to_floats(dtype, tensor.bytes.data() + begin * width, count, out);
  std::array<std::byte, 4096> part;
  const size_t most = part.size() / width;
  for (size_t done = 0; done < count; done += std::min(most, count - done)) {
    const size_t now = std::min(most, count - done);
    gather(tensor, begin + done, now, part.data());
    convert_to_floats(dtype, part.data(), now, out + done);
  }
}

}  // namespace deepspeed::formats
