// Where the states of a rank's optimizer live, and how steps, checkpoints and loads get at them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "deepspeed/aio/config.h"
#include "deepspeed/optim/optimizer.h"
#include "deepspeed/zero/config.h"
#include "deepspeed/zero/state_bytes.h"

namespace deepspeed::zero {

/// The name of what the optimizer updates of a piece (its master copy, or the model's own values where it has
/// none) beside those of its states.
inline constexpr const char* kMasterCopy = "";

/// A piece whose master copy and states are in memory for as long as it is shown; without a master copy
/// `param` is the model's own.
struct PieceInMemory {
  size_t group, piece;
  at::Tensor param;
  optim::PieceState states;
};

/// Used by the thread that owns the optimizer. No call communicates.
class OptimizerHome {
 public:
  virtual ~OptimizerHome() = default;

  using Visit = std::function<void(const PieceInMemory&)>;
  enum class Replaces { kEverything, kSome };

  /// One update of every piece, as optim::Optimizer::step(). An Error leaves values of no step behind.
  void step(double grad_scale);
  /// Shows every piece in order; what is written to its tensors stays. Where that is everything, what an
  /// earlier Error left is gone.
  void change(const Visit& visit, Replaces replaces);
  /// Error where step() or change() failed and left values of no step.
  void check() const;

  /// Whether the piece's states can be had from the optimizer.
  virtual bool is_in_memory(size_t group, size_t piece) const = 0;
  /// Whether what the optimizer updates of it cannot.
  virtual bool has_stored_master(size_t group, size_t piece) const = 0;
  /// The bytes of a state that is not in memory, or of a stored kMasterCopy.
  virtual void read(size_t group, size_t piece, const std::string& state, std::span<std::byte> out) const = 0;
  /// One of a piece's states, or (kMasterCopy) what the optimizer updates of it, [the piece's elements] in
  /// its own format: a view where it is in memory, else a copy of it alone. Error naming the states that
  /// there are.
  virtual at::Tensor values(size_t group, size_t piece, const std::string& state) const = 0;
  /// Elements of the same from `begin` on become `values`, wherever they live.
  virtual void write(size_t group, size_t piece, const std::string& state, int64_t begin,
                     const at::Tensor& values) = 0;

  /// Adds what the states take; of master copies, those that are not in memory.
  virtual void add_bytes(StateBytes& bytes) const = 0;

 private:
  virtual void step_all(double grad_scale) = 0;
  virtual void show_all(const Visit& visit) = 0;

  bool broken_ = false;
};

/// What the home asks of whoever keeps the model's own parameters.
struct ModelValues {
  /// Every piece's new values are published, also of those that are in memory: it is another memory than the
  /// model's (host_side.h).
  bool publish_all = false;
  /// Writes the model's own values of a piece into `out`, in whatever format: what a master copy starts from.
  std::function<void(size_t group, size_t piece, at::Tensor out)> read;
  /// A step's new values, in the model's format, of a piece whose parameters have no memory.
  std::function<void(size_t group, size_t piece, const at::Tensor& values)> publish;
  /// Returns when all that was published is where it belongs.
  std::function<void()> finish;
};

int64_t bytes_of(const optim::PieceState& states);

/// values() of a piece that the optimizer has in memory.
at::Tensor values_in_memory(optim::Optimizer& optimizer, size_t group, size_t piece,
                            const std::string& state);
/// The Error for a state that an optimizer does not keep.
[[noreturn]] void fail_unknown_state(const optim::Optimizer& optimizer, const std::string& state,
                                     const std::vector<std::string>& kept);

/// By offload_optimizer.device. With NVMe, pieces that are not Piece::on_device move to a file; their param
/// has sizes, but no memory, where it is a master copy. With every device a param that is a parameter on a
/// disk has no memory, and neither has its low_precision_copy. Errors name folder or file.
std::unique_ptr<OptimizerHome> make_optimizer_home(optim::Optimizer& optimizer, const ZeroConfig& config,
                                                   const aio::AioConfig& aio, const ModelValues& values);

}  // namespace deepspeed::zero
