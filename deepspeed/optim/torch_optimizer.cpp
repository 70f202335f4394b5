#include "deepspeed/optim/torch_optimizer.h"

#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include "deepspeed/base/error.h"

namespace deepspeed::optim {
namespace {

namespace to = torch::optim;

/// One rule of torch: what we need to know about its options and its state.
struct Rule {
  std::string type;
  bool starts_from_nothing =
      true;  // torch makes the state in the first update, and makes it differently than later ones
  std::function<std::unique_ptr<to::OptimizerParamState>()> make_state;
  std::function<std::map<std::string, at::Tensor*>(to::OptimizerParamState&)> tensors;
  std::function<void(to::OptimizerParamState&, int64_t)> set_step;
  std::function<std::tuple<double, double>*(to::OptimizerOptions&)> betas;  // may be empty
};

/// `members`: the tensors that the rule keeps under its present options.
template <class State>
Rule rule_of(std::string type, std::map<std::string, at::Tensor& (State::*)() noexcept> members) {
  Rule rule;
  rule.type = std::move(type);
  rule.make_state = [] { return std::make_unique<State>(); };
  rule.tensors = [members](to::OptimizerParamState& state) {
    std::map<std::string, at::Tensor*> tensors;
    for (const auto& [name, member] : members) tensors[name] = &(static_cast<State&>(state).*member)();
    return tensors;
  };
  rule.set_step = [](to::OptimizerParamState& state, int64_t step) {
    if constexpr (requires(State s) { s.step(step); }) static_cast<State&>(state).step(step);
  };
  return rule;
}

template <class State, class Options>
Rule adam_like(std::string type, const Options& options) {
  std::map<std::string, at::Tensor& (State::*)() noexcept> members{{"exp_avg", &State::exp_avg},
                                                                   {"exp_avg_sq", &State::exp_avg_sq}};
  if (options.amsgrad()) members["max_exp_avg_sq"] = &State::max_exp_avg_sq;
  Rule rule = rule_of<State>(std::move(type), std::move(members));
  rule.betas = [](to::OptimizerOptions& options) { return &static_cast<Options&>(options).betas(); };
  return rule;
}

Rule rms_prop(const to::RMSpropOptions& options) {
  using State = to::RMSpropParamState;
  std::map<std::string, at::Tensor& (State::*)() noexcept> members{{"square_avg", &State::square_avg}};
  if (options.momentum() > 0) members["momentum_buffer"] = &State::momentum_buffer;
  if (options.centered()) members["grad_avg"] = &State::grad_avg;
  return rule_of<State>("rmsprop", std::move(members));
}

Rule descent(const to::SGDOptions& options) {
  using State = to::SGDParamState;
  if (options.momentum() == 0) return rule_of<State>("sgd", {});
  return rule_of<State>("sgd", {{"momentum_buffer", &State::momentum_buffer}});
}

Rule ada_grad() {
  Rule rule = rule_of<to::AdagradParamState>("adagrad", {{"sum", &to::AdagradParamState::sum}});
  rule.starts_from_nothing = false;
  return rule;
}

Rule rule_for(const to::OptimizerOptions& options) {
  if (auto* o = dynamic_cast<const to::AdamOptions*>(&options))
    return adam_like<to::AdamParamState>("adam", *o);
  if (auto* o = dynamic_cast<const to::AdamWOptions*>(&options))
    return adam_like<to::AdamWParamState>("adamw", *o);
  if (auto* o = dynamic_cast<const to::SGDOptions*>(&options)) return descent(*o);
  if (auto* o = dynamic_cast<const to::RMSpropOptions*>(&options)) return rms_prop(*o);
  if (dynamic_cast<const to::AdagradOptions*>(&options)) return ada_grad();
  base::fail(
      "torch_optimizer: only Adam, AdamW, SGD, RMSprop and Adagrad of torch::optim are known; for another "
      "rule derive "
      "from deepspeed::optim::Optimizer");
}

class TorchOptimizer : public Optimizer {
 public:
  TorchOptimizer(std::vector<ParamGroup> groups, const TorchOptimizerFactory& make);
  PieceState piece_state(size_t group, size_t piece) override;
  std::string type() const override { return rules_.empty() ? "none" : rules_[0].type; }
  bool has_betas() const override { return !rules_.empty() && rules_[0].betas; }

 protected:
  void update(size_t group, size_t piece, double grad_scale) override;

 private:
  to::OptimizerParamState* state_of(size_t group, size_t piece);
  void write_options(size_t group);

  std::vector<std::vector<at::Tensor>> handles_;  // [group][piece]: what torch knows the piece by
  std::unique_ptr<to::Optimizer> inner_;
  std::vector<Rule> rules_;  // [group]
};

TorchOptimizer::TorchOptimizer(std::vector<ParamGroup> groups, const TorchOptimizerFactory& make)
    : Optimizer(std::move(groups)) {
  std::vector<to::OptimizerParamGroup> inner_groups;
  for (const ParamGroup& group : this->groups()) {
    auto& row = handles_.emplace_back();
    for (const Piece& piece : group.pieces) row.push_back(piece.param.detach());
    inner_groups.emplace_back(row);
  }
  inner_ = make(std::move(inner_groups));
  DS_CHECK(inner_ && inner_->param_groups().size() == handles_.size(),
           "torch_optimizer: the client's optimizer must be made on all {} groups it is given",
           handles_.size());
  for (size_t g = 0; g < handles_.size(); ++g) {
    auto& options = inner_->param_groups()[g].options();
    rules_.push_back(rule_for(options));
    this->groups()[g].lr = options.get_lr();
    if (has_betas())
      std::tie(this->groups()[g].betas[0], this->groups()[g].betas[1]) = *rules_[g].betas(options);
  }
}

to::OptimizerParamState* TorchOptimizer::state_of(size_t group, size_t piece) {
  piece_at(group, piece);
  auto it = inner_->state().find(handles_[group][piece].unsafeGetTensorImpl());
  return it == inner_->state().end() ? nullptr : it->second.get();
}

PieceState TorchOptimizer::piece_state(size_t group, size_t piece) {
  auto* state = state_of(group, piece);
  if (!state) {
    auto& slot = inner_->state()[handles_[group][piece].unsafeGetTensorImpl()];
    slot = rules_[group].make_state();
    state = slot.get();
  }
  PieceState result;
  for (const auto& [name, tensor] : rules_[group].tensors(*state)) {
    if (!tensor->defined()) *tensor = at::zeros_like(handles_[group][piece]);
    result[name] = *tensor;
  }
  return result;
}

void TorchOptimizer::write_options(size_t group) {
  const ParamGroup& g = groups()[group];
  auto& options = inner_->param_groups()[group].options();
  options.set_lr(g.lr);
  if (has_betas()) *rules_[group].betas(options) = {g.betas[0], g.betas[1]};
}

void TorchOptimizer::update(size_t group, size_t piece, double grad_scale) {
  const Piece& p = piece_at(group, piece);
  at::Tensor& handle = handles_[group][piece];
  // The owner may have moved the piece; torch knows it by the identity of the handle, not by its storage.
  handle.set_data(p.param.detach());
  handle.mutable_grad() = p.grad.detach().to(at::kFloat) * grad_scale;
  const Rule& rule = rules_[group];
  if (step_count() == 1 && rule.starts_from_nothing) inner_->state().erase(handle.unsafeGetTensorImpl());
  if (auto* state = state_of(group, piece)) rule.set_step(*state, step_count() - 1);
  write_options(group);
  inner_->step();  // only this handle has a gradient, so only this piece moves
  handle.mutable_grad().reset();
  if (p.low_precision_copy.defined()) {
    at::NoGradGuard no_grad;
    p.low_precision_copy.copy_(p.param);
  }
}

}  // namespace

OptimizerFactory torch_optimizer(TorchOptimizerFactory make) {
  return [make = std::move(make)](std::vector<ParamGroup> groups) -> std::unique_ptr<Optimizer> {
    return std::make_unique<TorchOptimizer>(std::move(groups), make);
  };
}

}  // namespace deepspeed::optim
