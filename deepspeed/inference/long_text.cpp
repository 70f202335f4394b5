#include "deepspeed/inference/long_text.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"

namespace deepspeed::inference {

std::vector<int32_t> read_tokens(const InferenceEngine& engine, const std::filesystem::path& path) {
  constexpr size_t kMost = size_t{1} << 30;
  const std::string bytes = base::read_text_file(path, kMost);
  std::vector<int32_t> ids;
  if (path.extension() == ".bin") {
    DS_CHECK(bytes.size() % sizeof(int32_t) == 0, "{}: {} bytes are no whole number of 32-bit token ids",
             path.string(), bytes.size());
    static_assert(std::endian::native == std::endian::little);
    ids.resize(bytes.size() / sizeof(int32_t));
    if (!ids.empty()) std::memcpy(ids.data(), bytes.data(), bytes.size());
  } else {
    ids = engine.tokenizer().encode(bytes, false).ids;
  }
  DS_CHECK(!ids.empty(), "{} holds no tokens", path.string());
  return ids;
}

int32_t token_of_beginning(const InferenceEngine& engine) {
  if (!engine.source().tokenizer) return -1;
  const auto with = engine.tokenizer().encode("a").ids, without = engine.tokenizer().encode("a", false).ids;
  const bool begins = with.size() > without.size() && !without.empty() &&
                      std::equal(without.begin(), without.end(), with.begin() + 1);
  return begins ? with[0] : -1;
}

void check_tokens(const InferenceEngine& engine, const std::vector<int32_t>& ids) {
  for (const int32_t id : ids)
    DS_CHECK(id >= 0 && id < engine.spec().vocab, "token {} is not one of the model's {}", id,
             engine.spec().vocab);
}

}  // namespace deepspeed::inference
