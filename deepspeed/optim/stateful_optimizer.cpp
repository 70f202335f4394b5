#include "deepspeed/optim/stateful_optimizer.h"

#include "deepspeed/ops/huge_pages.h"

namespace deepspeed::optim {

StatefulOptimizer::StatefulOptimizer(std::vector<ParamGroup> groups, StateRule rule)
    : Optimizer(std::move(groups)), rule_(std::move(rule)) {
  for (const ParamGroup& group : this->groups()) states_.emplace_back(group.pieces.size());
}

const std::vector<at::Tensor>& StatefulOptimizer::states(size_t group, size_t piece) {
  const at::Tensor& param = piece_at(group, piece).param;
  std::vector<at::Tensor>& states = states_[group][piece];
  while (states.size() < rule_.names.size())
    states.push_back(ops::empty_huge(param.sizes(), rule_.always_fp32 ? at::kFloat : param.scalar_type())
                         .fill_(rule_.initial));
  return states;
}

PieceState StatefulOptimizer::piece_state(size_t group, size_t piece) {
  PieceState named;
  const std::vector<at::Tensor>& states = this->states(group, piece);
  for (size_t k = 0; k < states.size(); ++k) named[rule_.names[k]] = states[k];
  return named;
}

}  // namespace deepspeed::optim
