// Optimizers see pieces, never parameters: a piece is a run of elements that this rank updates.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/ops/update.h"
#include "deepspeed/optim/config.h"

namespace deepspeed::optim {

/// One contiguous run of elements that this rank updates: 1-D views into buffers that the owner keeps alive,
/// all of the same length. The owner may replace the views between steps (a gradient that moved, a tile that
/// was fetched).
struct Piece {
  std::string name;  // unique among the optimizer's pieces: it names the state in checkpoints and errors
  at::Tensor param;  // the master copy where the model's own is of another format; fp32, bf16 or fp16
  at::Tensor grad;   // fp32, bf16 or fp16; undefined: the piece is skipped in this step
  at::Tensor low_precision_copy;  // undefined, or bf16/fp16: receives the rounded new parameter
  bool on_device = false;  // under optimizer offload: not offloaded, so stepped as without it (Twin-Flow)
};

/// Pieces that share hyperparameters, and the hyperparameters, which schedulers rewrite. Defaults are
/// FusedAdam's.
struct ParamGroup {
  double lr = 1e-3;
  std::array<double, 2> betas = {0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 0;
  bool bias_correction = true;
  std::vector<Piece> pieces;
  std::map<std::string, double> extra;  // hyperparameters that only some rules have
};

/// The state of one piece by name ("exp_avg", "exp_avg_sq"): tensors as long as the piece.
using PieceState = std::map<std::string, at::Tensor>;

/// What a rule keeps beside a piece.
struct StateSpec {
  std::string name;
  at::ScalarType dtype = at::kFloat;
  double initial = 0;
};

/// An update rule that works element by element, so that it may be given any pieces of a parameter.
/// Not thread-safe; a rank owns one. No call communicates.
class Optimizer {
 public:
  explicit Optimizer(std::vector<ParamGroup> groups);
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  std::vector<ParamGroup>& groups() { return groups_; }
  const std::vector<ParamGroup>& groups() const { return groups_; }

  /// One update of every piece. Gradients are multiplied by `grad_scale` first (1/loss scale and clipping);
  /// they are left as they are.
  void step(double grad_scale = 1);
  /// The same in parts, for pipelines that fetch and write back tiles: begin_step() once, then every piece
  /// once.
  void begin_step() { ++step_count_; }
  void step_piece(size_t group, size_t piece, double grad_scale = 1);

  /// Updates done so far; part of every checkpoint. A step skipped on overflow does not count.
  int64_t step_count() const { return step_count_; }
  void set_step_count(int64_t count) { step_count_ = count; }

  /// Views of the live state; writing through them changes it.
  virtual PieceState piece_state(size_t group, size_t piece) = 0;
  /// Copies into the state. Names and lengths must be exactly those of piece_state(); base::Error otherwise.
  virtual void load_piece_state(size_t group, size_t piece, const PieceState& state);

  /// Names, formats and first values of a piece's states. base::Error for a rule that keeps them to itself.
  virtual std::vector<StateSpec> state_specs(size_t group, size_t piece) const;
  /// From now on the piece's states are the caller's memory, in the order of state_specs(), as long as the
  /// piece; with an empty list they are nowhere, and using them is an error, until they are lent again.
  virtual void lend_states(size_t group, size_t piece, std::vector<at::Tensor> states);

  /// The type as get_type() reports it: "adam", "adamw", ...
  virtual std::string type() const = 0;
  /// Whether betas[0] means something to the rule: schedulers cycle momentum only then.
  virtual bool has_betas() const = 0;

 protected:
  virtual void update(size_t group, size_t piece, double grad_scale) = 0;
  const Piece& piece_at(size_t group, size_t piece) const;

 private:
  std::vector<ParamGroup> groups_;
  int64_t step_count_ = 0;
};

/// A client's own rule: engine::initialize calls it with the rank's pieces instead of make_optimizer.
using OptimizerFactory = std::function<std::unique_ptr<Optimizer>(std::vector<ParamGroup>)>;

/// An empty group with the hyperparameters of `optimizer.params`; add pieces, override what the group has of
/// its own.
ParamGroup default_group(const OptimizerConfig& config);

/// What decides on a rule beside the configuration's `optimizer`.
struct OptimizerOptions {
  /// Optimizer offload (ZeRO-Offload): DeepSpeedCPUAdam, DeepSpeedCPUAdagrad and DeepSpeedCPULion in place of
  /// FusedAdam, torch.optim.Adagrad and FusedLion. Of 16-bit masters they keep fp32 states unless
  /// fp32_optimizer_states is false; the others keep states in the format of what they update. Pieces that
  /// are on_device are stepped in the others' order.
  bool cpu_offload = false;
  /// Whose order of operations. Nothing: what DeepSpeed has on a CPU. With offload, and for Adam, that is
  /// kCpu, because its FusedAdam for CPUs calls the kernel of DeepSpeedCPUAdam
  /// (csrc/cpu/adam/fused_adam.cpp); else kFused.
  std::optional<ops::UpdateOrder> order;
};

/// Adam, AdamW, Adagrad and Lion by `optimizer.type` ("Adam" decouples the decay unless adam_w_mode is
/// false); a base::Error where there is none, or for a parameter that the class DeepSpeed takes does not
/// have. Groups are used as they are.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config, std::vector<ParamGroup> groups,
                                          const OptimizerOptions& options = {});

}  // namespace deepspeed::optim
