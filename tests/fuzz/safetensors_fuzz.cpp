// Any bytes as a safetensors file: either it opens, or one line says why not. What opens has every tensor's
// bytes inside the file, and its header survives being printed and parsed again.
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <span>
#include <string_view>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/safetensors.h"
#include "deepspeed/formats/safetensors_header.h"

namespace formats = deepspeed::formats;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

unsigned touch(std::span<const std::byte> bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), 0u,
                         [](unsigned sum, std::byte b) { return sum + std::to_integer<unsigned>(b); });
}

void check(const formats::SafetensorsFile& file) {
  volatile unsigned sum = 0;
  for (const auto& info : file.tensors()) {
    require(file.find(info.name) == &info);
    require(*formats::element_count(info.shape) * formats::dtype_size(info.dtype) == file.data(info).size());
    sum = sum + touch(file.data(info));
  }
  const auto text = formats::format_safetensors_header({file.tensors(), file.metadata()}, "again");
  const auto again = formats::parse_safetensors_header(text, "again");
  require(text.size() % 8 == 0 && again.metadata == file.metadata() &&
          again.tensors.size() == file.tensors().size());
  for (size_t i = 0; i < again.tensors.size(); ++i) {
    const auto &a = again.tensors[i], &b = file.tensors()[i];
    require(a.name == b.name && a.dtype == b.dtype && a.shape == b.shape && a.begin == b.begin &&
            a.end == b.end);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    check(formats::SafetensorsFile::from_bytes(std::as_bytes(std::span(data, size)), "fuzz.safetensors"));
  } catch (const deepspeed::base::Error& error) {
    require(std::string_view(error.what()).find('\n') == std::string_view::npos);
  }
  return 0;
}
