#include <algorithm>
#include <cstring>

#include "deepspeed/base/error.h"
#include "deepspeed/data/token_store.h"
#include "deepspeed/formats/megatron_index.h"

namespace deepspeed::data {
namespace {

class MegatronTokens : public TokenStore {
 public:
  MegatronTokens(const std::filesystem::path& index, const std::filesystem::path& data)
      : TokenStore(data.string()), data_(data), index_(index, data_.bytes().size()) {
    begins_.reserve(static_cast<size_t>(index_.sequences()) + 1);
    begins_.push_back(0);
    for (int64_t i = 0; i < index_.sequences(); ++i) begins_.push_back(begins_.back() + index_.length(i));
  }
  int64_t tokens() const override { return begins_.back(); }
  void read(int64_t position, std::span<int64_t> out) const override;
  int64_t documents() const override { return index_.documents(); }
  Document document(int64_t index) const override {
    const int64_t begin = begin_of(index);
    return {.begin = begin, .end = begin_of(index + 1), .learnt = begin};
  }

 private:
  int64_t begin_of(int64_t document) const {
    return begins_[static_cast<size_t>(index_.first_sequence(document))];
  }
  int64_t token(const std::byte* at) const;

  base::MappedFile data_;
  formats::MegatronIndex index_;
  std::vector<int64_t> begins_;  // of each sequence in the row of all; the last: its length
};

int64_t MegatronTokens::token(const std::byte* at) const {
  uint64_t bits = 0;
  const auto [bytes, is_signed] = index_.type();
  std::memcpy(&bits, at, static_cast<size_t>(bytes));
  const int unused = 64 - 8 * bytes;
  return is_signed ? static_cast<int64_t>(bits << unused) >> unused : static_cast<int64_t>(bits);
}

void MegatronTokens::read(int64_t position, std::span<int64_t> out) const {
  auto sequence = std::upper_bound(begins_.begin(), begins_.end(), position) - begins_.begin() - 1;
  for (size_t done = 0; done < out.size(); ++sequence) {
    const int64_t skipped = position + static_cast<int64_t>(done) - begins_[static_cast<size_t>(sequence)];
    const std::byte* from = data_.bytes().data() + index_.offset(sequence) + skipped * index_.type().bytes;
    const int64_t there =
        std::min(index_.length(sequence) - skipped, static_cast<int64_t>(out.size() - done));
    for (int64_t i = 0; i < there; ++i) out[done++] = token(from + i * index_.type().bytes);
  }
}

}  // namespace

TokenStorePtr map_megatron(const std::filesystem::path& index, const std::filesystem::path& data) {
  return std::make_shared<MegatronTokens>(index, data);
}

}  // namespace deepspeed::data
