// Pieces whose optimizer states are in memory, wherever their parameters live: of those on a disk
// (part_store.h) a piece is read for its step and written back.
#pragma once

#include <functional>
#include <string>

#include "deepspeed/zero/optimizer_home.h"

namespace deepspeed::zero {

/// Whether a tensor has elements, but no memory for them.
bool has_no_memory(const at::Tensor& tensor);

/// Steps a piece whose states and `param` are in memory. A low_precision_copy without memory is given some
/// for the step, and its values are published.
void step_in_memory(optim::Optimizer& optimizer, const ModelValues& values, size_t group, size_t piece,
                    double grad_scale);

/// Error where `out` has another size.
void copy_bytes(const at::Tensor& values, const std::string& state, std::span<std::byte> out);

/// What optimizer_home.h asks for of single pieces. `param` may have no memory where it is the model's own.
class MemoryPieces {
 public:
  MemoryPieces(optim::Optimizer& optimizer, ModelValues values)
      : optimizer_(optimizer), values_(std::move(values)) {}

  bool has_stored_master(size_t group, size_t piece) const;
  void step(size_t group, size_t piece, double grad_scale);
  void show(size_t group, size_t piece, const std::function<void(const PieceInMemory&)>& visit);
  /// A copy of what is on the disk, else a view.
  at::Tensor values(size_t group, size_t piece, const std::string& state) const;
  void write(size_t group, size_t piece, const std::string& state, int64_t begin, const at::Tensor& values);
  /// What step(), show() and write() gave to the disk is there, or an Error says why not.
  void finish() const;

 private:
  void change_stored(size_t group, size_t piece, const std::function<void()>& change);

  optim::Optimizer& optimizer_;
  ModelValues values_;
};

}  // namespace deepspeed::zero
