#include "deepspeed/models/encoder.h"

#include <ATen/ops/arange.h>
#include <torch/nn/modules/container/modulelist.h>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/dropout.h"

namespace deepspeed::models {

Encoder::Encoder(const ArchSpec& spec, const nn::RngPtr& rng, std::shared_ptr<nn::Embedding> embedding)
    : max_positions_(spec.max_positions),
      position_offset_(spec.position_offset),
      counted_padding_(spec.counted_positions ? spec.padding_token.value_or(-1) : -1),
      embedding_dropout_(spec.embedding_dropout, rng, spec.stack + "embedding"),
      output_dropout_(spec.output_dropout, rng, spec.stack + "output"),
      embedding_(std::move(embedding)) {
  DS_CHECK(spec.bidirectional, "{} is a decoder; masked-language and classification heads want an encoder",
           spec.model_type);
  const nn::Init init = nn::Init::normal(spec.init_std);
  const int64_t width = spec.embedding_width > 0 ? spec.embedding_width : spec.hidden;
  const auto table = [&](const char* name, int64_t rows, int64_t padding) {
    return register_module(name, std::make_shared<nn::Embedding>(rows, width, init, padding));
  };
  const auto norm = [&](const char* name, int64_t size) {
    return register_module(name, std::make_shared<nn::Norm>(spec.norm, size, spec.norm_eps));
  };
  if (!embedding_) embedding_ = table("embedding", spec.vocab, spec.padding_token.value_or(-1));
  if (spec.positions == Positions::kLearned)
    positions_ = table("positions", spec.max_positions + spec.position_offset,
                       spec.counted_positions ? spec.position_offset - 1 : -1);
  if (spec.token_types > 0) token_types_ = table("token_types", spec.token_types, -1);
  if (spec.embedding_norm) embedding_norm_ = norm("embedding_norm", width);
  if (spec.positions == Positions::kRelative) relative_ = register_module("relative", relative_bias(spec));
  if (spec.disentangled) {
    distance_table_ = spec.disentangled->table;
    distances_ = register_module(
        "distances", std::make_shared<nn::Embedding>(2 * distance_table_.span, spec.hidden, init));
    if (spec.disentangled->norm) distance_norm_ = norm("distance_norm", spec.hidden);
  }
  if (width != spec.hidden)
    widening_ = register_module("widening",
                                std::make_shared<nn::Linear>(nn::DenseOptions{
                                    .in_features = width, .out_features = spec.hidden, .weight_init = init}));
  auto layers = register_module("layers", std::make_shared<torch::nn::ModuleListImpl>());
  for (size_t i = 0; i < static_cast<size_t>(spec.layers); ++i) {
    layers_.push_back(std::make_shared<TransformerLayer>(spec, i, rng));
    layers->push_back(layers_.back());
    layer_order_.push_back(i);
  }
  if (!spec.layer_order.empty()) layer_order_ = spec.layer_order;
  if (!spec.post_norm) norm_ = norm("norm", spec.hidden);
}

at::Tensor Encoder::positions_of(const at::Tensor& ids) const {
  if (counted_padding_ < 0)
    return at::arange(position_offset_, position_offset_ + ids.size(1), ids.options());
  const at::Tensor counts = ids.ne(counted_padding_).to(at::kLong);
  return counts.cumsum(1) * counts + (position_offset_ - 1);
}

at::Tensor Encoder::embed(const at::Tensor& ids, const std::optional<at::Tensor>& token_types) {
  at::Tensor sum = embedding_->forward(ids);
  if (token_types_) sum = sum + token_types_->forward(token_types ? *token_types : ids.new_zeros({1, 1}));
  if (positions_) sum = sum + positions_->forward(positions_of(ids));
  return embedding_norm_ ? embedding_norm_->forward(sum) : sum;
}

nn::Distances Encoder::distances_of(const at::Tensor& ids) {
  at::Tensor rows = distances_->forward(at::arange(2 * distance_table_.span, ids.options()));
  if (distance_norm_) rows = distance_norm_->forward(rows);
  return {rows, nn::distance_rows(ids.size(1), distance_table_).to(ids.device())};
}

at::Tensor Encoder::compute(const at::Tensor& ids, const std::optional<at::Tensor>& token_types,
                            const std::optional<at::Tensor>& ends) {
  DS_CHECK(ids.dim() == 2 && ids.scalar_type() == at::kLong,
           "token ids must be an int64 tensor [batch, length]");
  DS_CHECK(ids.size(1) <= max_positions_, "a sequence of {} tokens is longer than the model's {} positions",
           ids.size(1), max_positions_);
  DS_CHECK(!token_types || token_types->sizes() == ids.sizes(),
           "token types must have the shape of the token ids");
  at::Tensor x = embed(ids, token_types);
  if (distances_ && ends)  // as transformers has it there (nn::with_blind_padding)
    x = x.masked_fill(nn::is_padding(*ends, ids.size(1)).unsqueeze(2).to(x.device()), 0);
  x = ops::dropout(x, embedding_dropout_.p(is_training()), embedding_dropout_.key());
  if (widening_) x = widening_->forward(x);
  nn::AttentionInputs inputs{.end_key = ends};
  if (relative_) inputs.bias = relative_->forward(ids.size(1), ids.size(1));
  if (distances_) inputs.distances = distances_of(ids);
  for (const size_t i : layer_order_) x = layers_[i]->forward(x, inputs).first;
  if (norm_) x = norm_->forward(x);
  return ops::dropout(x, output_dropout_.p(is_training()), output_dropout_.key());
}

}  // namespace deepspeed::models
