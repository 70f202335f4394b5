// libtorch's autocast on this thread: inside a region, matrix products and attention run in 16 bits on fp32
// tensors. ATen's own ops see it by themselves; fused ops of ours, which bypass its dispatcher, ask here.
// Mirrors torch.autocast (torch/amp/autocast_mode.py).
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace deepspeed::accel {

/// While it lives, CPU ops of this thread run under autocast to `type` (fp16 or bf16), or without autocast
/// where there is none; afterwards as before. Regions nest.
class Autocast {
 public:
  /// Within the outermost region every leaf is cast once and its cast used again. kAnew casts at every use:
  /// for a forward without gradients whose casts must not serve others that need them.
  enum class Casts { kKept, kAnew };
  explicit Autocast(std::optional<at::ScalarType> type, Casts casts = Casts::kKept);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

  /// What this thread's region casts to; nothing outside regions.
  static std::optional<at::ScalarType> current();

 private:
  bool enabled_, keeps_casts_;
  at::ScalarType type_;
};

/// `t` as an op on autocast's lower-precision list takes it: cast where a region is active and `t` is a
/// floating-point tensor other than fp64, else `t` itself. Undefined tensors pass. Differentiable.
at::Tensor autocast(const at::Tensor& t);

}  // namespace deepspeed::accel
