// ZeRO-Inference: a model whose matrices stay on a disk and are read, one after the other, as they are used;
// so models larger than memory answer.
#pragma once

#include <torch/nn/module.h>

#include <deque>
#include <memory>
#include <optional>

#include "deepspeed/inference/model_source.h"
#include "deepspeed/inference/streamed_head.h"
#include "deepspeed/models/packed_model.h"
#include "deepspeed/models/vocabulary_head.h"
#include "deepspeed/zero/config.h"
#include "deepspeed/zero/streamed_tensors.h"

namespace deepspeed::inference {

/// In what form weights are multiplied.
struct WeightForm {
  at::ScalarType type = at::kFloat;
  std::optional<models::PackModelOptions> packed{};  // nothing: dense
  bool fp8 = false;                                  // linear layers whose shape fits
  at::Device device = at::kCPU;
};

/// A matrix that its file holds as it is multiplied is read from there; all others are written, in that form,
/// to a file without a name in nvme_path when the model is loaded. Vectors, matrices of fewer elements than
/// param_persistence_threshold, and the first max_in_cpu elements of the others stay in memory. Of tables of
/// embeddings only the rows that are looked up are ever read. A vocabulary head is read in tiles of rows.
class StreamedModel {
 public:
  /// Takes a model without memory (nn/materializer.h) to one that answers. Memory then holds one product of
  /// the model, or one tile of the head, beside what stays. The model outlives this object and cannot answer
  /// without it. Errors: weights that do not fit the model, nvme_path that cannot be written to or is full;
  /// in every forward those of zero::WeightStream.
  StreamedModel(torch::nn::Module& model, const ModelSource& source, const WeightForm& form,
                const zero::ZeroConfig& zero);
  ~StreamedModel();
  StreamedModel(const StreamedModel&) = delete;
  StreamedModel& operator=(const StreamedModel&) = delete;

  /// Bytes of weights in memory: those that stay, and the memory that others are read into.
  int64_t bytes_in_memory() const { return resident_ + static_cast<int64_t>(stream().memory()); }
  /// Bytes that were written to nvme_path.
  int64_t bytes_written() const { return written_; }
  /// A forward reads stream().round_bytes().
  const zero::WeightStream& stream() const { return tensors_->stream(); }

 private:
  class Builder;
  std::deque<StreamedHead> heads_;
  std::unique_ptr<zero::StreamedTensors> tensors_;
  std::vector<models::VocabularyHead*> multiplying_;  // by heads_
  int64_t resident_ = 0, written_ = 0;
};

}  // namespace deepspeed::inference
