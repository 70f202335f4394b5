// Tensors that have memory only while a Block computes with them: their bytes are read from files in the
// order in which Blocks run (ZeRO-Inference).
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "deepspeed/nn/block.h"
#include "deepspeed/zero/weight_stream.h"

namespace deepspeed::zero {

/// An unmaterialized tensor: of this shape and type, contiguous, without memory.
at::Tensor without_memory(at::IntArrayRef shape, at::ScalarType type);
/// Takes a contiguous tensor's memory away, whoever holds it; shape and type stay.
void drop_memory(const at::Tensor& tensor);

/// A contiguous CPU tensor that nobody shares a part of, and where its bytes begin.
struct StreamedTensor {
  at::Tensor tensor;
  size_t file = 0;
  int64_t offset = 0;
};

/// What a Block computes with; without a Block, what its user asks for by acquire().
struct TensorUnit {
  std::string name;
  nn::Block* block = nullptr;
  std::vector<StreamedTensor> tensors;
};

class StreamedTensors {
 public:
  /// Takes the tensors' memory away and observes the Blocks, which outlive this object and of which none runs
  /// within another, until it is destroyed; the tensors then stay without memory. Units are given in the
  /// order in which they are used. Forwards that record gradients are not for them.
  StreamedTensors(std::vector<aio::File> files, const std::vector<TensorUnit>& units,
                  const WeightStreamOptions& options);
  ~StreamedTensors();
  StreamedTensors(const StreamedTensors&) = delete;
  StreamedTensors& operator=(const StreamedTensors&) = delete;

  /// The unit's tensors have their values until release(); the observers' calls. Errors: WeightStream's.
  void acquire(size_t unit);
  void release();

  const WeightStream& stream() const { return stream_; }

 private:
  class Observer;
  WeightStream stream_;
  std::vector<std::vector<at::Tensor>> tensors_;  // by unit
  std::vector<std::pair<nn::Block*, std::shared_ptr<Observer>>> observers_;
  std::optional<size_t> held_;
};

}  // namespace deepspeed::zero
