#include "deepspeed/data/token_store.h"

#include <algorithm>
#include <cstring>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"

namespace deepspeed::data {
namespace {

constexpr int64_t kCheckedAtOnce = int64_t{1} << 24, kBlock = 1 << 16;

template <class T>
void widen(const std::byte* from, std::span<int64_t> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    T id;
    std::memcpy(&id, from + i * sizeof(T), sizeof id);
    out[i] = id;
  }
}

class MappedTokens : public TokenStore {
 public:
  MappedTokens(const std::filesystem::path& path, int bytes_per_token)
      : TokenStore(path.string()), file_(path), bytes_per_token_(bytes_per_token) {
    const size_t bytes = file_.bytes().size();
    DS_CHECK(bytes % static_cast<size_t>(bytes_per_token) == 0,
             "'{}' holds {} bytes, no whole number of {}-byte token ids", name(), bytes, bytes_per_token);
  }
  int64_t tokens() const override { return static_cast<int64_t>(file_.bytes().size()) / bytes_per_token_; }
  void read(int64_t position, std::span<int64_t> out) const override {
    const std::byte* from = file_.bytes().data() + position * bytes_per_token_;
    if (bytes_per_token_ == 2) {
      widen<uint16_t>(from, out);
    } else {
      widen<uint32_t>(from, out);
    }
  }

 private:
  base::MappedFile file_;
  int bytes_per_token_;
};

class HeldTokens : public TokenStore {
 public:
  HeldTokens(std::string name, std::vector<int32_t> ids, std::vector<Document> documents)
      : TokenStore(std::move(name)), ids_(std::move(ids)), documents_(std::move(documents)) {}
  int64_t tokens() const override { return static_cast<int64_t>(ids_.size()); }
  void read(int64_t position, std::span<int64_t> out) const override {
    std::copy_n(ids_.begin() + position, out.size(), out.begin());
  }
  int64_t documents() const override { return static_cast<int64_t>(documents_.size()); }
  Document document(int64_t index) const override { return documents_[static_cast<size_t>(index)]; }

 private:
  std::vector<int32_t> ids_;
  std::vector<Document> documents_;
};

}  // namespace

Document TokenStore::document(int64_t) const {
  base::fail("'{}' does not say where its documents begin", name_);
}

TokenStorePtr map_token_file(const std::filesystem::path& path, int bytes_per_token) {
  DS_CHECK(bytes_per_token == 2 || bytes_per_token == 4, "token ids take 2 or 4 bytes, not {}",
           bytes_per_token);
  return std::make_shared<MappedTokens>(path, bytes_per_token);
}

TokenStorePtr hold_tokens(std::string name, std::vector<int32_t> ids, std::vector<Document> documents) {
  return std::make_shared<HeldTokens>(std::move(name), std::move(ids), std::move(documents));
}

void check_ids(const TokenStore& store, int64_t position, std::span<const int64_t> ids, int64_t vocab) {
  const auto bad = std::find_if(ids.begin(), ids.end(), [&](int64_t id) { return id < 0 || id >= vocab; });
  DS_CHECK(bad == ids.end(), "'{}': token {} at position {} is outside the model's vocabulary of {}",
           store.name(), *bad, position + (bad - ids.begin()), vocab);
}

void check_first_ids(const TokenStore& store, int64_t vocab) {
  const int64_t end = std::min(store.tokens(), kCheckedAtOnce);
  std::vector<int64_t> block;
  for (int64_t position = 0; position < end; position += kBlock) {
    block.resize(static_cast<size_t>(std::min(kBlock, end - position)));
    store.read(position, block);
    check_ids(store, position, block, vocab);
  }
}

}  // namespace deepspeed::data
