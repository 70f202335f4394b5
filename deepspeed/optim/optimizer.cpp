#include "deepspeed/optim/optimizer.h"

#include <ATen/core/Tensor.h>

#include <unordered_set>

#include "deepspeed/base/error.h"
#include "deepspeed/optim/adagrad.h"
#include "deepspeed/optim/adam.h"
#include "deepspeed/optim/lion.h"

namespace deepspeed::optim {
namespace {

void check_piece(const Piece& piece) {
  const auto dtype = piece.param.defined() ? piece.param.scalar_type() : at::kLong;
  DS_CHECK((dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf) && piece.param.dim() == 1,
           "optimizer: piece '{}' needs a 1-D param in fp32, bf16 or fp16", piece.name);
  if (piece.low_precision_copy.defined())
    DS_CHECK(piece.low_precision_copy.numel() == piece.param.numel(),
             "optimizer: piece '{}' has {} elements, its low-precision copy has {}", piece.name,
             piece.param.numel(), piece.low_precision_copy.numel());
}

// Parameters that only one of the two classes of a type takes.
void check_parameters(const OptimizerConfig& config, const OptimizerOptions& options) {
  DS_CHECK(options.cpu_offload || config.fp32_optimizer_states,
           "\"fp32_optimizer_states\": false in optimizer.params needs optimizer offload; without it states "
           "have the format of what is updated");
  DS_CHECK(!options.cpu_offload || (config.lr_decay == 0 && config.initial_accumulator_value == 0),
           "optimizer.params: lr_decay and initial_accumulator_value cannot be had with optimizer offload");
}

ops::UpdateOrder order_of(OptimizerType type, const OptimizerOptions& options) {
  if (options.order) return *options.order;
  const bool adam = type == OptimizerType::kAdam || type == OptimizerType::kAdamW;
  return options.cpu_offload || adam ? ops::UpdateOrder::kCpu : ops::UpdateOrder::kFused;
}

}  // namespace

Optimizer::Optimizer(std::vector<ParamGroup> groups) : groups_(std::move(groups)) {
  std::unordered_set<std::string> names;
  for (const ParamGroup& group : groups_)
    for (const Piece& piece : group.pieces) {
      check_piece(piece);
      DS_CHECK(names.insert(piece.name).second,
               "optimizer: two pieces are named '{}'; give each piece a name of its own", piece.name);
    }
}

void Optimizer::step(double grad_scale) {
  begin_step();
  for (size_t g = 0; g < groups_.size(); ++g)
    for (size_t p = 0; p < groups_[g].pieces.size(); ++p) step_piece(g, p, grad_scale);
}

void Optimizer::step_piece(size_t group, size_t piece, double grad_scale) {
  if (piece_at(group, piece).grad.defined()) update(group, piece, grad_scale);
}

void Optimizer::load_piece_state(size_t group, size_t piece, const PieceState& state) {
  const std::string& name = piece_at(group, piece).name;
  PieceState own = piece_state(group, piece);
  for (const auto& [key, value] : state)
    DS_CHECK(own.contains(key),
             "optimizer {}: piece '{}' has no state '{}'; the checkpoint is of another optimizer", type(),
             name, key);
  for (const auto& [key, tensor] : own) {
    auto it = state.find(key);
    DS_CHECK(it != state.end() && it->second.defined(),
             "optimizer {}: the checkpoint lacks '{}' of piece '{}'", type(), key, name);
    DS_CHECK(it->second.numel() == tensor.numel(),
             "optimizer {}: '{}' of piece '{}' has {} elements, the checkpoint has {}; was it saved with "
             "other ranks?",
             type(), key, name, tensor.numel(), it->second.numel());
  }
  at::NoGradGuard no_grad;
  for (auto& [key, tensor] : own) tensor.copy_(state.at(key).view_as(tensor));
}

std::vector<StateSpec> Optimizer::state_specs(size_t, size_t) const {
  base::fail("optimizer {} keeps its states itself, so they cannot be kept on NVMe", type());
}

void Optimizer::lend_states(size_t group, size_t piece, std::vector<at::Tensor>) {
  state_specs(group, piece);
}

const Piece& Optimizer::piece_at(size_t group, size_t piece) const {
  DS_CHECK(group < groups_.size() && piece < groups_[group].pieces.size(),
           "optimizer: there is no piece {} in group {}", piece, group);
  return groups_[group].pieces[piece];
}

ParamGroup default_group(const OptimizerConfig& config) {
  ParamGroup group;
  group.lr = config.lr;
  group.betas = config.betas;
  group.eps = config.eps;
  group.weight_decay = config.weight_decay;
  group.bias_correction = config.bias_correction;
  return group;
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config, std::vector<ParamGroup> groups,
                                          const OptimizerOptions& options) {
  DS_CHECK(config.type,
           "no optimizer: set optimizer.type (Adam, AdamW, Adagrad or Lion), or give initialize an optimizer "
           "of your own");
  check_parameters(config, options);
  const bool fp32_states = options.cpu_offload && config.fp32_optimizer_states;
  const ops::UpdateOrder order = order_of(*config.type, options);
  switch (*config.type) {
    case OptimizerType::kAdam:
    case OptimizerType::kAdamW:
      return std::make_unique<Adam>(
          std::move(groups), Adam::Options{.decoupled_weight_decay = config.decoupled_weight_decay(),
                                           .type = *config.type == OptimizerType::kAdam ? "adam" : "adamw",
                                           .order = order,
                                           .fp32_states = fp32_states});
    case OptimizerType::kAdagrad:
      return std::make_unique<Adagrad>(
          std::move(groups), Adagrad::Options{.order = order,
                                              .fp32_states = fp32_states,
                                              .lr_decay = config.lr_decay,
                                              .initial_accumulator_value = config.initial_accumulator_value});
    case OptimizerType::kLion:
      return std::make_unique<Lion>(std::move(groups),
                                    Lion::Options{.order = order, .fp32_states = fp32_states});
  }
  base::fail("optimizer.type: this build has Adam, AdamW, Adagrad and Lion only");
}

}  // namespace deepspeed::optim
