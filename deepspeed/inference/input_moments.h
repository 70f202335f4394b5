// What a decoder's linear layers are given while it reads a text: what weights are calibrated by
// (ops/gptq.h).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "deepspeed/inference/engine.h"

namespace deepspeed::inference {

struct InputMomentsOptions {
  int64_t window = 512, windows = 32;  // tokens read at once, and how often, at most
  int64_t bytes = int64_t{4} << 30;    // of moments that are in memory at once
};

/// Holds the engine's model, which outlives it, for itself: its Linears pass on what they are given.
class InputMoments {
 public:
  /// `ids`: the text, cut into windows of that many tokens, the last one left out where it is shorter;
  /// `tensors`: names of Hugging Face tensors in the order in which they will be asked for, others than
  /// weights of linear layers among them. Errors: no decoder, a text shorter than a window, ids outside the
  /// vocabulary, a model that is not dense fp32.
  InputMoments(InferenceEngine& engine, const std::vector<int32_t>& ids,
               const std::vector<std::string>& tensors, const InputMomentsOptions& options = {});

  /// The sum of x x^T [in, in], fp32, over all positions of the text, of the Linears that the tensor holds
  /// the weights of (they read the same); undefined for other tensors. Reads the text again where the moments
  /// that are wanted were not in memory.
  at::Tensor of(const std::string& tensor);

 private:
  class Watched;
  void read_from(size_t first);

  InferenceEngine& engine_;
  at::Tensor windows_;  // [n, window] int64
  int64_t bytes_;
  std::vector<std::string> order_;           // of tensors that hold weights of Linears
  std::map<std::string, Watched*> watched_;  // by tensor; the model owns them
};

}  // namespace deepspeed::inference
