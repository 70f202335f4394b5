#include "deepspeed/models/decoder.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/scalar_tensor.h>
#include <torch/nn/modules/container/modulelist.h>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/dropout.h"

namespace deepspeed::models {

Decoder::Decoder(ArchSpec spec, nn::RngPtr rng, std::shared_ptr<nn::Embedding> embedding)
    : spec_(std::move(spec)),
      embedding_dropout_(spec_.embedding_dropout, rng, spec_.stack + "embedding"),
      output_dropout_(spec_.output_dropout, rng, spec_.stack + "output"),
      embedding_(std::move(embedding)) {
  const nn::Init init = nn::Init::normal(spec_.init_std);
  if (!embedding_) embedding_ = register_module("embedding", token_table(spec_));
  if (spec_.embedding_norm)
    embedding_norm_ = register_module("embedding_norm",
                                      std::make_shared<nn::Norm>(spec_.norm, spec_.hidden, spec_.norm_eps));
  if (spec_.positions == Positions::kLearned)
    positions_ = register_module(
        "positions",
        std::make_shared<nn::Embedding>(spec_.max_positions + spec_.position_offset, spec_.hidden, init));
  if (spec_.positions == Positions::kRelative) relative_ = register_module("relative", relative_bias(spec_));
  auto layers = register_module("layers", std::make_shared<torch::nn::ModuleListImpl>());
  for (size_t i = 0; i < static_cast<size_t>(spec_.layers); ++i) {
    layers_.push_back(std::make_shared<TransformerLayer>(spec_, i, rng));
    layers->push_back(layers_.back());
  }
  norm_ = register_module("norm", std::make_shared<nn::Norm>(spec_.norm, spec_.hidden, spec_.norm_eps));
  head_ = register_module("head", std::make_shared<VocabularyHead>(VocabularyHeadOptions{
                                      .vocabulary = spec_.vocab,
                                      .hidden = spec_.hidden,
                                      .init = init,
                                      .table = spec_.tied_embeddings ? embedding_->weight() : at::Tensor(),
                                      .own_bias = spec_.head_bias,
                                      .softcap = spec_.logit_softcap}));
}

at::Tensor Decoder::positions_of(const at::Tensor& ids, int64_t offset,
                                 const std::optional<at::Tensor>& starts) const {
  const at::Tensor positions = at::arange(offset, offset + ids.size(1), ids.options());
  return starts ? positions - *starts : positions;
}

at::Tensor Decoder::embed(const at::Tensor& ids, int64_t offset, const std::optional<at::Tensor>& starts) {
  at::Tensor x = embedding_->forward(ids);
  // Rounded to the model's type first, as transformers has it: sqrt(3072) is 55.5 in bf16.
  if (spec_.embedding_scale != 1) x = x * at::scalar_tensor(spec_.embedding_scale, x.options());
  if (embedding_norm_) x = embedding_norm_->forward(x);
  if (!positions_) return x;
  return x + positions_->forward(positions_of(ids, offset + spec_.position_offset, starts));
}

std::optional<ops::RotaryTable> Decoder::rotary_of(const Rope& rope, const at::Tensor& ids, int64_t offset,
                                                   const std::optional<at::Tensor>& positions) const {
  if (spec_.positions != Positions::kRotary) return std::nullopt;
  const int64_t begin = positions ? positions->min().item<int64_t>() : offset,
                end = positions ? positions->max().item<int64_t>() + 1 : offset + ids.size(1);
  DS_CHECK(
      offset == 0 || rope.keeps_keys(offset, end),
      "the cache holds keys that were turned for up to {} positions; the sequence has {} now: begin it anew",
      rope.original_positions, end);
  ops::RotaryTable table = ops::rotary_table({.frequencies = rope_frequencies(rope, end),
                                              .amplitude = rope.amplitude,
                                              .interleaved = rope.interleaved},
                                             end - begin, begin);
  table.cos = table.cos.to(ids.device());
  table.sin = table.sin.to(ids.device());
  return positions ? ops::rotary_at(table, *positions - begin) : table;
}

at::Tensor Decoder::scaled(const at::Tensor& hidden) const {
  return spec_.head_scale == 1 ? hidden : hidden * spec_.head_scale;
}

Decoder::States Decoder::run_layers(const at::Tensor& ids, nn::KvCache* cache,
                                    const std::optional<at::Tensor>& starts, Memory* memory) {
  DS_CHECK(ids.dim() == 2 && ids.scalar_type() == at::kLong,
           "token ids must be an int64 tensor [batch, length]");
  const int64_t length = ids.size(1), offset = cache != nullptr ? cache->length() : 0;
  DS_CHECK(!starts || starts->sizes() == ids.sizes(),
           "documents start within rows that have the shape of the token ids");
  const bool by_length =
      spec_.rope.stretch == RopeStretch::kDynamic || spec_.rope.stretch == RopeStretch::kLongrope;
  DS_CHECK(!starts || cache == nullptr || !by_length,
           "rows of different lengths are not available yet together where angles depend on the length "
           "(dynamic, longrope): give one at a time");
  std::optional<at::Tensor> positions;
  if (starts) positions = positions_of(ids, offset, starts);
  const int64_t end = positions ? positions->max().item<int64_t>() + 1 : offset + length;
  DS_CHECK(end <= spec_.max_positions, "a sequence of {} tokens is longer than the model's {} positions", end,
           spec_.max_positions);
  const auto rotary = rotary_of(spec_.rope, ids, offset, positions);
  const auto local_rotary = spec_.local_rope ? rotary_of(*spec_.local_rope, ids, offset, positions) : rotary;
  at::Tensor x = embed(ids, offset, starts);
  x = ops::dropout(x, embedding_dropout_.p(is_training()), embedding_dropout_.key());
  nn::AttentionInputs inputs{.cache = cache, .first_key = starts};
  if (relative_) inputs.bias = relative_->forward(length, offset + length);
  const nn::AttentionInputs across = memory != nullptr ? memory->inputs() : nn::AttentionInputs{};
  States states;
  for (size_t i = 0; i < layers_.size(); ++i) {
    inputs.rotary = spec_.window_of(i) > 0 ? local_rotary : rotary;
    auto [out, logits] = layers_[i]->forward(x, inputs, across);
    x = out;
    if (logits.defined()) states.router_logits.push_back(logits);
  }
  if (cache != nullptr) cache->advance(length);
  states.hidden = ops::dropout(norm_->forward(x), output_dropout_.p(is_training()), output_dropout_.key());
  return states;
}

at::Tensor Decoder::hidden_states(const at::Tensor& ids, nn::KvCache* cache,
                                  const std::optional<at::Tensor>& starts, Memory* memory) {
  return run_layers(ids, cache, starts, memory).hidden;
}

at::Tensor Decoder::compute(const at::Tensor& ids, const at::Tensor& labels,
                            const std::optional<at::Tensor>& starts) {
  DS_CHECK(labels.sizes() == ids.sizes(), "labels must have the shape of the token ids");
  // Shifting the labels instead of slicing the hidden states saves a copy of those and of their gradient.
  at::Tensor shifted = at::full_like(labels, kIgnoredLabel);
  shifted.narrow(1, 0, labels.size(1) - 1).copy_(labels.narrow(1, 1, labels.size(1) - 1));
  const States states = run_layers(ids, nullptr, starts, nullptr);
  const at::Tensor loss = loss_of(states.hidden, shifted);
  if (states.router_logits.empty()) return loss;
  return loss + nn::balance_loss(states.router_logits, spec_.experts.chosen) * spec_.experts.balance;
}

at::Tensor Decoder::logits(const at::Tensor& ids, nn::KvCache* cache,
                           const std::optional<at::Tensor>& starts) {
  return logits_of(hidden_states(ids, cache, starts));
}

}  // namespace deepspeed::models
