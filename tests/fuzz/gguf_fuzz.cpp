// Any bytes as a GGUF file: either it opens, or one line says why not. What opens has every tensor's bytes
// inside the file, all of them decode, and every metadata value answers or says in one line why not.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>
#include <vector>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/gguf.h"

namespace formats = deepspeed::formats;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

template <class Call>
void answers(Call&& call) {
  try {
    call();
  } catch (const deepspeed::base::Error& error) {
    require(std::string_view(error.what()).find('\n') == std::string_view::npos);
  }
}

void check_metadata(const formats::GgufMetadata& metadata) {
  for (std::string_view key : metadata.keys()) {
    answers([&] { metadata.text(key); });
    answers([&] { metadata.boolean(key); });
    answers([&] { metadata.integer(key); });
    answers([&] { metadata.number(key); });
    answers([&] { metadata.texts(key); });
    answers([&] { metadata.booleans(key); });
    answers([&] { metadata.integers(key); });
    answers([&] { metadata.numbers(key); });
    answers([&] { metadata.arrays(key); });
  }
}

void check(const formats::GgufFile& file, std::span<const std::byte> image) {
  check_metadata(file.metadata());
  for (const auto& tensor : file.tensors()) {
    require(file.find(tensor.name) == &tensor);
    const size_t blocks = tensor.elements() / formats::block_elements(tensor.encoding);
    require(tensor.bytes.size() == blocks * formats::block_bytes(tensor.encoding));
    require(tensor.bytes.empty() ||
            (tensor.bytes.data() >= image.data() &&
             tensor.bytes.data() + tensor.bytes.size() <= image.data() + image.size()));
    std::vector<float> values(tensor.elements());
    answers([&] { formats::read_floats(tensor, 0, values.size(), values.data()); });
    const size_t middle = values.size() / 3;
    answers([&] { formats::read_floats(tensor, middle, values.size() - middle, values.data()); });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto image = std::as_bytes(std::span(data, size));
  answers([&] { check(formats::GgufFile::from_bytes(image, "fuzz.gguf"), image); });
  return 0;
}
