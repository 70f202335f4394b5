#include "deepspeed/data/masked_dataset.h"

#include <ATen/ops/full.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>

#include "deepspeed/accel/rng.h"
#include "deepspeed/base/error.h"

namespace deepspeed::data {
namespace {

constexpr int64_t kIgnored = -100;

double fraction(uint32_t word) { return static_cast<double>(word) * 0x1p-32; }

}  // namespace

void mask_tokens(const MaskOptions& options, int64_t epoch, int64_t sample, std::span<int64_t> ids,
                 std::span<int64_t> labels) {
  static const uint64_t site = accel::hash_name("masked tokens");
  const accel::RngKey key{accel::mix(options.seed, site),
                          accel::mix(static_cast<uint64_t>(epoch), static_cast<uint64_t>(sample))};
  const auto may = [&](int64_t id) {
    return std::find(options.untouched.begin(), options.untouched.end(), id) == options.untouched.end();
  };
  std::fill(labels.begin(), labels.end(), kIgnored);
  const auto choose = [&](size_t t, const std::array<uint32_t, 4>& words) {
    labels[t] = ids[t];
    const double kind = fraction(words[1]);
    if (kind < 0.8)
      ids[t] = options.mask_token;
    else if (kind < 0.9)
      ids[t] = static_cast<int64_t>(fraction(words[2]) * static_cast<double>(options.vocab));
  };
  bool any = false;
  for (size_t t = 0; t < ids.size(); ++t) {
    const auto words = accel::philox(key, t);
    if (fraction(words[0]) >= options.probability || !may(ids[t])) continue;
    choose(t, words);
    any = true;
  }
  if (any) return;
  for (size_t t = 0; t < ids.size() && !any; ++t)
    if (may(ids[t])) choose(t, accel::philox(key, t)), any = true;
}

MaskedDataset::MaskedDataset(TokenStorePtr store, const MaskedOptions& options)
    : store_(std::move(store)), options_(options), room_(options.length - 2) {
  DS_CHECK(room_ >= 1, "--seq-length must be at least 3 for masked samples, got {}", options.length);
  check_first_ids(*store_, options.mask.vocab);
  if (!options.by_document) {
    DS_CHECK(size() > 0, "'{}' holds {} tokens, fewer than one sample of {}", store_->name(),
             store_->tokens(), room_);
    return;
  }
  for (int64_t i = 0; i < store_->documents(); ++i) {
    const Document d = store_->document(i);
    for (int64_t begin = d.begin; begin < d.end; begin += room_)
      parts_.push_back({begin, std::min(room_, d.end - begin)});
  }
  DS_CHECK(store_->documents() > 0, "'{}' holds no documents: --packing single needs .jsonl or Megatron data",
           store_->name());
  DS_CHECK(!parts_.empty(), "'{}': none of its {} documents holds a token", store_->name(),
           store_->documents());
}

int64_t MaskedDataset::size() const {
  return options_.by_document ? static_cast<int64_t>(parts_.size()) : store_->tokens() / room_;
}

MaskedDataset::Part MaskedDataset::part(int64_t index) const {
  return options_.by_document ? parts_[static_cast<size_t>(index)] : Part{index * room_, room_};
}

std::vector<at::Tensor> MaskedDataset::get_in_epoch(int64_t index, int64_t epoch) const {
  const Part p = part(index);
  at::Tensor ids = at::full({options_.length}, options_.padding, at::kLong),
             labels = at::full({options_.length}, kIgnored, at::kLong);
  auto* id = ids.mutable_data_ptr<int64_t>();
  const std::span<int64_t> tokens(id + 1, static_cast<size_t>(p.count));
  store_->read(p.begin, tokens);
  check_ids(*store_, p.begin, tokens, options_.mask.vocab);
  id[0] = options_.begin_token;
  id[p.count + 1] = options_.end_token;
  mask_tokens(options_.mask, epoch, index, tokens,
              {labels.mutable_data_ptr<int64_t>() + 1, static_cast<size_t>(p.count)});
  return {ids, labels, at::zeros({options_.length}, at::kLong), at::scalar_tensor(p.count + 2, at::kInt)};
}

}  // namespace deepspeed::data
