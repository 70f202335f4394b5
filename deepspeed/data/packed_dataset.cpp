#include "deepspeed/data/packed_dataset.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "deepspeed/base/error.h"

namespace deepspeed::data {
namespace {

constexpr int64_t kIgnored = -100;

}  // namespace

PackedDataset::PackedDataset(TokenStorePtr store, const SampleOptions& options, bool together)
    : store_(std::move(store)), options_(options) {
  DS_CHECK(options.sequence_length >= 2, "--seq-length must be at least 2, got {}", options.sequence_length);
  DS_CHECK(store_->documents() > 0,
           "'{}' does not say where its documents begin: packing needs .jsonl or Megatron data",
           store_->name());
  const Cut cut = cut_documents(*store_, options.sequence_length);
  DS_CHECK(!cut.pieces.empty(),
           "'{}': in none of its {} documents is there anything to learn within {} tokens (a prompt may fill "
           "them: raise --seq-length)",
           store_->name(), store_->documents(), options.sequence_length);
  shortened_ = cut.shortened;
  left_out_ = cut.left_out;
  plan_ = plan_packing(cut.pieces, options.sequence_length, together);
  check_first_ids(*store_, options.vocab);
}

std::vector<at::Tensor> PackedDataset::get(int64_t index) const {
  const int64_t length = options_.sequence_length;
  const at::Tensor ids = at::zeros({length}, at::kLong), labels = at::full({length}, kIgnored, at::kLong),
                   starts = at::arange(length, at::kInt);
  auto* id = ids.mutable_data_ptr<int64_t>();
  auto* label = labels.mutable_data_ptr<int64_t>();
  auto* start = starts.mutable_data_ptr<int32_t>();
  int64_t at = 0;
  for (int64_t p = plan_.first[static_cast<size_t>(index)]; p < plan_.first[static_cast<size_t>(index) + 1];
       ++p) {
    const Piece& piece = plan_.pieces[static_cast<size_t>(p)];
    const std::span<int64_t> tokens(id + at, static_cast<size_t>(piece.length));
    store_->read(piece.begin, tokens);
    check_ids(*store_, piece.begin, tokens, options_.vocab);
    const int64_t given = std::max<int64_t>(piece.given, 1);
    std::copy(id + at + given, id + at + piece.length, label + at + given);
    std::fill_n(start + at, piece.length, static_cast<int32_t>(at));
    at += piece.length;
  }
  return {ids, labels, starts};
}

}  // namespace deepspeed::data
