#include "deepspeed/models/decoder.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full_like.h>
#include <torch/nn/modules/container/modulelist.h>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/dropout.h"

namespace deepspeed::models {

Decoder::Decoder(ArchSpec spec, nn::RngPtr rng)
    : spec_(std::move(spec)), embedding_dropout_(spec_.embedding_dropout, rng, "embedding") {
  const nn::Init init = nn::Init::normal(spec_.init_std);
  embedding_ = register_module(
      "embedding", std::make_shared<nn::Embedding>(
                       spec_.vocab, spec_.hidden, init, spec_.padding_token.value_or(-1),
                       spec_.tied_embeddings ? ops::TableGradient::kRows : ops::TableGradient::kDense));
  if (spec_.embedding_norm)
    embedding_norm_ = register_module("embedding_norm",
                                      std::make_shared<nn::Norm>(spec_.norm, spec_.hidden, spec_.norm_eps));
  if (spec_.positions == Positions::kLearned)
    positions_ = register_module(
        "positions",
        std::make_shared<nn::Embedding>(spec_.max_positions + spec_.position_offset, spec_.hidden, init));
  auto layers = register_module("layers", std::make_shared<torch::nn::ModuleListImpl>());
  for (size_t i = 0; i < static_cast<size_t>(spec_.layers); ++i) {
    layers_.push_back(std::make_shared<TransformerLayer>(spec_, i, rng));
    layers->push_back(layers_.back());
  }
  norm_ = register_module("norm", std::make_shared<nn::Norm>(spec_.norm, spec_.hidden, spec_.norm_eps));
  head_ = register_module("head", spec_.tied_embeddings
                                      ? std::make_shared<VocabularyHead>(embedding_->weight())
                                      : std::make_shared<VocabularyHead>(spec_.vocab, spec_.hidden, init));
}

at::Tensor Decoder::positions_of(const at::Tensor& ids, int64_t offset,
                                 const std::optional<at::Tensor>& starts) const {
  const at::Tensor positions = at::arange(offset, offset + ids.size(1), ids.options());
  return starts ? positions - *starts : positions;
}

at::Tensor Decoder::embed(const at::Tensor& ids, int64_t offset, const std::optional<at::Tensor>& starts) {
  at::Tensor x = embedding_->forward(ids);
  if (embedding_norm_) x = embedding_norm_->forward(x);
  if (!positions_) return x;
  return x + positions_->forward(positions_of(ids, offset + spec_.position_offset, starts));
}

at::Tensor Decoder::hidden_states(const at::Tensor& ids, nn::KvCache* cache,
                                  const std::optional<at::Tensor>& starts) {
  DS_CHECK(ids.dim() == 2 && ids.scalar_type() == at::kLong,
           "token ids must be an int64 tensor [batch, length]");
  const int64_t length = ids.size(1), offset = cache != nullptr ? cache->length() : 0;
  DS_CHECK(!starts || starts->sizes() == ids.sizes(),
           "documents start within rows that have the shape of the token ids");
  std::optional<at::Tensor> positions;
  if (starts) positions = positions_of(ids, offset, starts);
  const int64_t end = positions ? positions->max().item<int64_t>() + 1 : offset + length;
  DS_CHECK(end <= spec_.max_positions, "a sequence of {} tokens is longer than the model's {} positions", end,
           spec_.max_positions);
  std::optional<ops::RotaryTable> rotary;
  if (spec_.positions == Positions::kRotary) {
    const ops::RotaryOptions options{.theta = spec_.rope_theta, .rotary_dim = spec_.rotary_dim};
    const int64_t begin = positions ? positions->min().item<int64_t>() : offset;
    rotary = ops::rotary_table(spec_.head_dim, end - begin, begin, options);
    if (positions) rotary = ops::rotary_at(*rotary, *positions - begin);
  }
  at::Tensor x = embed(ids, offset, starts);
  x = ops::dropout(x, embedding_dropout_.p(is_training()), embedding_dropout_.key());
  for (const auto& layer : layers_) x = layer->forward(x, rotary, cache, starts);
  if (cache != nullptr) cache->advance(length);
  return norm_->forward(x);
}

at::Tensor Decoder::compute(const at::Tensor& ids, const at::Tensor& labels,
                            const std::optional<at::Tensor>& starts) {
  DS_CHECK(labels.sizes() == ids.sizes(), "labels must have the shape of the token ids");
  // Shifting the labels instead of slicing the hidden states saves a copy of those and of their gradient.
  at::Tensor shifted = at::full_like(labels, kIgnoredLabel);
  shifted.narrow(1, 0, labels.size(1) - 1).copy_(labels.narrow(1, 1, labels.size(1) - 1));
  return head_->forward(hidden_states(ids, nullptr, starts), std::optional(shifted));
}

at::Tensor Decoder::logits(const at::Tensor& ids, nn::KvCache* cache,
                           const std::optional<at::Tensor>& starts) {
  return logits_of(hidden_states(ids, cache, starts));
}

}  // namespace deepspeed::models
