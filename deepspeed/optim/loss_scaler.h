// Loss scaling for fp16: the algorithm of DeepSpeed's runtime/fp16/loss_scaler.py (contract 1.7).
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace deepspeed::optim {

struct LossScaleOptions {
  double scale = 65536;  // the static scale, or the first dynamic one
  bool dynamic = false;
  int64_t window = 1000;                // overflow-free iterations before the scale doubles
  int hysteresis = 2;                   // overflows tolerated before the scale halves
  bool consecutive_hysteresis = false;  // refill the hysteresis on every clean iteration
  double min_scale = 1;                 // the floor; an overflow there is an error
};

/// The factor that the loss is multiplied by before backward. Every rank keeps one and must update it with
/// the same answer (any rank overflowed), so that all stay equal.
class LossScaler {
 public:
  /// No scaling: a static scale of 1.
  LossScaler();
  explicit LossScaler(const LossScaleOptions& options);

  double scale() const { return scale_; }
  bool dynamic() const { return options_.dynamic; }
  /// Call once an optimizer step, applied or skipped. base::Error when the scale cannot fall any further.
  void update(bool overflow);

  /// cur_scale, and for a dynamic scale cur_iter, last_overflow_iter, cur_hysteresis.
  std::map<std::string, double> state() const;
  /// Takes what state() gave; a missing key is a base::Error.
  void load_state(const std::map<std::string, double>& state);

 private:
  void on_overflow();
  void on_clean();

  LossScaleOptions options_;
  double scale_;
  int64_t iteration_ = 0, last_overflow_ = -1;
  int hysteresis_;
};

}  // namespace deepspeed::optim
