// Loss scaling for fp16: the algorithm of DeepSpeed's runtime/fp16/loss_scaler.py (contract 1.7).
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "deepspeed/optim/config.h"

namespace deepspeed::optim {

/// What an overflow does. kHysteresis: after `hysteresis` of them the scale halves, and at min_loss_scale
/// that is an error (runtime/fp16/loss_scaler.py, used with ZeRO). kHalve: each halves it, down to
/// min_loss_scale (runtime/fp16/fused_optimizer.py, used without). kGradScaler: each halves it, without a
/// floor, and the scale doubles with the last clean step of a window rather than with the one after it
/// (torch.amp.GradScaler, used with torch_autocast).
enum class ScaleRule { kHysteresis, kHalve, kGradScaler };

/// The factor that the loss is multiplied by before backward. Every rank keeps one and must update it with
/// the same answer (any rank overflowed), so that all stay equal.
class LossScaler {
 public:
  /// No scaling: a static scale of 1.
  LossScaler();
  /// The block `fp16`: static or dynamic; a scale of 1 where it is not enabled.
  explicit LossScaler(const Fp16Config& config, ScaleRule rule = ScaleRule::kHysteresis);
  /// torch.amp.GradScaler with its defaults: from 2^16, doubling every 2000 clean steps.
  static LossScaler grad_scaler();

  double scale() const { return scale_; }
  bool dynamic() const { return config_.enabled && config_.dynamic(); }
  /// Call once an optimizer step, applied or skipped. base::Error when the scale cannot fall any further.
  void update(bool overflow);

  /// cur_scale, and for a dynamic scale cur_iter, last_overflow_iter, cur_hysteresis.
  std::map<std::string, double> state() const;
  /// Takes what state() gave; a missing key is a base::Error.
  void load_state(const std::map<std::string, double>& state);

 private:
  void on_overflow();
  void on_clean();

  Fp16Config config_;
  ScaleRule rule_;
  double scale_;
  int64_t iteration_ = 0, last_overflow_ = -1;
  int hysteresis_;
};

}  // namespace deepspeed::optim
