#include "deepspeed/optim/stateful_optimizer.h"

#include "deepspeed/base/error.h"
#include "deepspeed/ops/buffer.h"

namespace deepspeed::optim {
namespace {

constexpr int64_t kCacheLine = 64;

}  // namespace

StatefulOptimizer::StatefulOptimizer(std::vector<ParamGroup> groups, StateRule rule)
    : Optimizer(std::move(groups)), rule_(std::move(rule)) {
  for (const ParamGroup& group : this->groups()) states_.emplace_back(group.pieces.size());
}

const std::vector<at::Tensor>& StatefulOptimizer::states(size_t group, size_t piece) {
  auto& [tensors, lent] = states_[group][piece];
  DS_CHECK(!lent || !tensors.empty(), "optimizer {}: the states of piece '{}' are not in memory", type(),
           piece_at(group, piece).name);
  if (tensors.size() < rule_.names.size()) make_states();
  return tensors;
}

// One buffer for all: a buffer of whole huge pages for each would waste a page a piece.
void StatefulOptimizer::make_states() {
  struct Missing {
    std::vector<at::Tensor>& tensors;
    const at::Tensor& param;
    int64_t bytes;  // to the next state: whole cache lines
  };
  std::vector<Missing> missing;
  int64_t total = 0;
  for (size_t g = 0; g < states_.size(); ++g)
    for (size_t p = 0; p < states_[g].size(); ++p) {
      auto& [tensors, lent] = states_[g][p];
      if (lent || !tensors.empty()) continue;
      const at::Tensor& param = piece_at(g, p).param;
      const int64_t bytes = param.numel() * static_cast<int64_t>(c10::elementSize(format(param)));
      missing.push_back({tensors, param, (bytes + kCacheLine - 1) / kCacheLine * kCacheLine});
      total += missing.back().bytes * static_cast<int64_t>(rule_.names.size());
    }
  if (missing.empty()) return;
  const at::Tensor all = ops::empty_buffer({total}, at::kByte, missing.front().param.device());
  int64_t at = 0;
  for (const Missing& m : missing)
    for (size_t i = 0; i < rule_.names.size(); ++i, at += m.bytes) {
      const at::Tensor state = all.narrow(0, at, m.bytes).view(format(m.param)).narrow(0, 0, m.param.numel());
      m.tensors.push_back(state.fill_(rule_.initial));
    }
}

at::ScalarType StatefulOptimizer::format(const at::Tensor& param) const {
  return rule_.always_fp32 ? at::kFloat : param.scalar_type();
}

std::vector<StateSpec> StatefulOptimizer::state_specs(size_t group, size_t piece) const {
  std::vector<StateSpec> specs;
  for (const auto& name : rule_.names)
    specs.push_back({name, format(piece_at(group, piece).param), rule_.initial});
  return specs;
}

void StatefulOptimizer::lend_states(size_t group, size_t piece, std::vector<at::Tensor> states) {
  const Piece& lent_to = piece_at(group, piece);
  DS_CHECK(states.empty() || states.size() == rule_.names.size(),
           "optimizer {}: piece '{}' has {} states, {} were lent", type(), lent_to.name, rule_.names.size(),
           states.size());
  for (const auto& state : states)
    DS_CHECK(state.scalar_type() == format(lent_to.param) && state.numel() == lent_to.param.numel(),
             "optimizer {}: a state of {} elements in {} was lent to piece '{}' of {}", type(), state.numel(),
             c10::toString(state.scalar_type()), lent_to.name, lent_to.param.numel());
  states_[group][piece] = {.tensors = std::move(states), .lent = true};
}

PieceState StatefulOptimizer::piece_state(size_t group, size_t piece) {
  PieceState named;
  const std::vector<at::Tensor>& states = this->states(group, piece);
  for (size_t k = 0; k < states.size(); ++k) named[rule_.names[k]] = states[k];
  return named;
}

}  // namespace deepspeed::optim
