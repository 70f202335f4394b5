#include "deepspeed/nn/moe.h"

#include <ATen/ops/argsort.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/topk.h>
#include <torch/nn/modules/container/modulelist.h>

#include "deepspeed/base/error.h"

namespace deepspeed::nn {

Moe::Moe(const MoeConfig& c) : chosen_(c.chosen), normalised_(c.normalised) {
  DS_CHECK(c.experts > 0 && c.chosen > 0 && c.chosen <= c.experts, "a token cannot go to {} of {} experts",
           c.chosen, c.experts);
  const auto gate = [&](const char* name, int64_t out) {
    return register_module(name, std::make_shared<Linear>(DenseOptions{.in_features = c.expert.hidden,
                                                                       .out_features = out,
                                                                       .bias = false,
                                                                       .weight_init = c.router_init}));
  };
  router_ = gate("router", c.experts);
  auto experts = register_module("experts", std::make_shared<torch::nn::ModuleListImpl>());
  for (int64_t i = 0; i < c.experts; ++i) {
    experts_.push_back(std::make_shared<Mlp>(c.expert));
    experts->push_back(experts_.back());
  }
  if (c.shared_intermediate == 0) return;
  MlpConfig shared = c.expert;
  shared.intermediate = c.shared_intermediate;
  shared_ = register_module("shared", std::make_shared<Mlp>(shared));
  shared_gate_ = gate("shared_gate", 1);
}

// The rows of each expert lie together, so that tokens are gathered and added up once.
at::Tensor Moe::routed(const at::Tensor& tokens, const at::Tensor& logits) {
  auto [weights, expert] = at::softmax(logits, 1, at::kFloat).topk(chosen_, 1);
  if (normalised_) weights = weights / weights.sum(1, /*keepdim=*/true);
  const at::Tensor flat = expert.reshape({-1}), order = flat.argsort(/*stable=*/true);
  const at::Tensor count = flat.bincount({}, static_cast<int64_t>(experts_.size())).cpu();
  const at::Tensor row = order.floor_divide(chosen_), gathered = tokens.index_select(0, row);
  const auto* rows = count.const_data_ptr<int64_t>();
  std::vector<at::Tensor> results = gathered.split_with_sizes({rows, experts_.size()});
  for (size_t i = 0; i < experts_.size(); ++i) results[i] = experts_[i]->forward(results[i]);
  const at::Tensor all = at::cat(results);
  const at::Tensor share = weights.reshape({-1, 1}).index_select(0, order).to(all.scalar_type());
  return all.new_zeros(tokens.sizes()).index_add(0, row, all * share);
}

std::pair<at::Tensor, at::Tensor> Moe::compute(const at::Tensor& x) {
  const at::Tensor all = together_.enter ? together_.enter(x) : x, tokens = all.reshape({-1, x.size(-1)});
  const at::Tensor logits = router_->forward(tokens);
  at::Tensor y = routed(tokens, logits);
  if (shared_) y = y + at::sigmoid(shared_gate_->forward(tokens)) * shared_->forward(tokens);
  if (together_.join) y = together_.join(y);
  return {y.view(x.sizes()), logits};
}

at::Tensor balance_loss(const std::vector<at::Tensor>& logits, int64_t chosen) {
  DS_CHECK(!logits.empty(), "there are no routers to balance");
  const int64_t experts = logits[0].size(1);
  at::Tensor often, likely;
  double tokens = 0;
  for (const at::Tensor& layer : logits) {
    const at::Tensor probability = at::softmax(layer, 1, at::kFloat);
    const at::Tensor expert = std::get<1>(probability.detach().topk(chosen, 1));
    const at::Tensor count = expert.reshape({-1}).bincount({}, experts).to(at::kFloat);
    const at::Tensor sum = probability.sum(0);
    often = often.defined() ? often + count : count;
    likely = likely.defined() ? likely + sum : sum;
    tokens += static_cast<double>(layer.size(0));
  }
  return ((often / tokens) * (likely / tokens)).sum() * static_cast<double>(experts);
}

}  // namespace deepspeed::nn
