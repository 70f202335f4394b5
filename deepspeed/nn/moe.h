// A mixture of experts on one rank: a router that sends every token to a few of many feed-forward layers. No
// communication: moe/ adds experts on other ranks.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "deepspeed/nn/mlp.h"
#include "deepspeed/nn/together.h"

namespace deepspeed::nn {

struct MoeConfig {
  MlpConfig expert;                 // each of them
  int64_t experts = 0;              // how many there are
  int64_t chosen = 0;               // how many of them a token goes to
  bool normalised = false;          // the chosen ones' probabilities are scaled to sum to one
  int64_t shared_intermediate = 0;  // of the expert that every token passes as well; 0: there is none
  Init router_init;
};

/// The router's probabilities are the softmax, in fp32, of a linear layer; a token's result is the sum of its
/// likeliest experts' times their probabilities (ties: any), plus the shared expert's times a logistic gate
/// of its own. All experts run in every forward, over no rows if need be, so that every rank passes the same
/// Blocks in the same order, wherever their parameters live.
/// Source: Shazeer et al., "Outrageously Large Neural Networks" (2017); mirrors transformers' Mixtral and
/// Qwen2-MoE layers.
class Moe : public BlockModule<Moe> {
 public:
  explicit Moe(const MoeConfig& config);
  /// x [..., hidden] -> {[..., hidden], the router's logits [tokens, experts]}.
  std::pair<at::Tensor, at::Tensor> compute(const at::Tensor& x);

  /// The experts, the shared one too, give parts of their results, which are joined once a forward.
  void share(Together together) { together_ = std::move(together); }

 private:
  at::Tensor routed(const at::Tensor& tokens, const at::Tensor& logits);

  int64_t chosen_;
  bool normalised_;
  Together together_;
  std::shared_ptr<Linear> router_, shared_gate_;
  std::shared_ptr<Mlp> shared_;
  std::vector<std::shared_ptr<Mlp>> experts_;
};

/// How unevenly the routers of a model spread their tokens, scalar fp32: experts * sum over experts of (how
/// often it was chosen a token) * (its mean probability), both over the tokens of all layers together;
/// `chosen` where all is even. Differentiable through the probabilities. logits [tokens, experts] of each
/// layer, at least one.
/// Source: Fedus et al., "Switch Transformers" (2021), equations 4 to 6; mirrors transformers'
/// load_balancing_loss_func.
at::Tensor balance_loss(const std::vector<at::Tensor>& logits, int64_t chosen);

}  // namespace deepspeed::nn
