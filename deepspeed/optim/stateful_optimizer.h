// What Adam, Adagrad and Lion share: tensors beside every piece.
#pragma once

#include "deepspeed/optim/optimizer.h"

namespace deepspeed::optim {

/// How the states of every piece are made.
struct StateRule {
  std::vector<std::string> names;  // as checkpoints know them
  bool always_fp32 = false;        // else in the format of the piece's parameter
  double initial = 0;
};

/// Keeps the states of a rule, each as long as its piece. All that are not lent are made when the first of
/// them is used, so that a program reaches its first forward without having touched them.
class StatefulOptimizer : public Optimizer {
 public:
  PieceState piece_state(size_t group, size_t piece) override;
  std::vector<StateSpec> state_specs(size_t group, size_t piece) const override;
  void lend_states(size_t group, size_t piece, std::vector<at::Tensor> states) override;

 protected:
  StatefulOptimizer(std::vector<ParamGroup> groups, StateRule rule);
  /// In the order of the rule's names.
  const std::vector<at::Tensor>& states(size_t group, size_t piece);

 private:
  at::ScalarType format(const at::Tensor& param) const;
  void make_states();
  struct States {
    std::vector<at::Tensor> tensors;  // by name
    bool lent = false;                // by somebody else, who may have taken them back
  };

  StateRule rule_;
  std::vector<std::vector<States>> states_;  // [group][piece]
};

}  // namespace deepspeed::optim
