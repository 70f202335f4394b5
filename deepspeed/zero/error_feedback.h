// What quantization took from gradients, added to the next ones. Source: Xie et al., "LoCo: Low-Bit
// Communication Adaptor for Large-scale Model Training" (2024); DeepSpeed 0.19.6's
// runtime/comm/coalesced_collectives.py (all_to_all_loco_quant_reduce).
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "deepspeed/zero/config.h"

namespace deepspeed::zero {

/// Errors are kept by bucket in 8 bits. After every reset_after reductions of a bucket its error starts from
/// zero; where a gradient was not finite, so does the error.
class ErrorFeedback {
 public:
  explicit ErrorFeedback(const LocoConfig& config) : config_(config) {}

  /// gradient + error, in fp32.
  at::Tensor corrected(size_t bucket, const at::Tensor& gradient) const;
  /// error = err_beta * error + (1 - err_beta) * (corrected - sent).
  void learn(size_t bucket, const at::Tensor& corrected, const at::Tensor& sent);

  /// All that is kept, by name: a bucket's error in its code under its number, and how many reductions each
  /// bucket has had. Views.
  std::map<std::string, at::Tensor> memory() const;
  /// What memory() gave becomes what is kept, in copies; nothing: every error is zero. Error for what it
  /// cannot have given.
  void set_memory(const std::map<std::string, at::Tensor>& memory);

 private:
  struct Error {
    at::Tensor coded;  // undefined: zero
    int64_t reductions = 0;
  };

  LocoConfig config_;
  std::map<size_t, Error> errors_;
};

}  // namespace deepspeed::zero
