// Any bytes as a file of torch.save's, or, where they begin as none, as the pickle in one: either it opens,
// or one line says why not. What opens has every tensor inside the file, and no more elements than its bytes
// hold.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/torch_file.h"
#include "tests/formats/zip_images.h"

namespace formats = deepspeed::formats;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check(const formats::TorchFile& file, std::span<const std::byte> image) {
  for (const auto& tensor : file.tensors()) {
    require(file.find(tensor.name) == &tensor);
    const size_t bytes = tensor.elements() * formats::dtype_size(*tensor.dtype());
    require(bytes <= image.size());
    require(tensor.bytes.empty() ||
            (tensor.bytes.data() >= image.data() &&
             tensor.bytes.data() + tensor.bytes.size() <= image.data() + image.size()));
    std::vector<std::byte> elements(bytes);
    formats::read_elements(tensor, 0, tensor.elements(), elements);
  }
}

void open(std::span<const std::byte> image) {
  try {
    check(formats::TorchFile::from_bytes(image, "fuzz.bin"), image);
  } catch (const deepspeed::base::Error& error) {
    require(std::string_view(error.what()).find('\n') == std::string_view::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto image = std::as_bytes(std::span(data, size));
  if (formats::TorchFile::recognizes(image)) {
    open(image);
  } else {
    const std::string pickle(reinterpret_cast<const char*>(data), size);
    open(formats::zip_image({{"m/data.pkl", pickle}, {"m/data/0", std::string(64, 1)}}).span());
  }
  return 0;
}
