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

/// Keeps the states of a rule, each as long as its piece. They are made on first use, so that a program
/// reaches its first forward without having touched them.
class StatefulOptimizer : public Optimizer {
 public:
  PieceState piece_state(size_t group, size_t piece) override;

 protected:
  StatefulOptimizer(std::vector<ParamGroup> groups, StateRule rule);
  /// In the order of the rule's names.
  const std::vector<at::Tensor>& states(size_t group, size_t piece);

 private:
  StateRule rule_;
  std::vector<std::vector<std::vector<at::Tensor>>> states_;  // [group][piece][name]
};

}  // namespace deepspeed::optim
