// Any bytes as a Megatron index (the first two: the size of its .bin): either it opens, or one line says why
// not. What opens has every sequence inside the .bin and every sequence in one document.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/megatron_index.h"

namespace formats = deepspeed::formats;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check(const formats::MegatronIndex& index, uint64_t data_bytes) {
  for (int64_t i = 0; i < index.sequences(); ++i) {
    require(index.length(i) >= 0 && index.offset(i) >= 0);
    require(static_cast<uint64_t>(index.offset(i)) +
                static_cast<uint64_t>(index.length(i) * index.type().bytes) <=
            data_bytes);
  }
  for (int64_t i = 0; i < index.documents(); ++i)
    require(index.first_sequence(i) <= index.first_sequence(i + 1));
  if (index.documents() > 0)
    require(index.first_sequence(0) == 0 && index.first_sequence(index.documents()) == index.sequences());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint64_t data_bytes = static_cast<uint64_t>(data[0]) | static_cast<uint64_t>(data[1]) << 8;
  try {
    check(formats::MegatronIndex::from_bytes(std::as_bytes(std::span(data + 2, size - 2)), "fuzz.idx",
                                             data_bytes),
          data_bytes);
  } catch (const deepspeed::base::Error& error) {
    require(std::string_view(error.what()).find('\n') == std::string_view::npos);
  }
  return 0;
}
