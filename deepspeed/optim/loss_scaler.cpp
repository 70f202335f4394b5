#include "deepspeed/optim/loss_scaler.h"

#include <algorithm>
#include <cmath>

#include "deepspeed/base/error.h"

namespace deepspeed::optim {
namespace {

double first_scale(const Fp16Config& config) {
  if (!config.enabled) return 1;
  return config.dynamic() ? std::ldexp(1.0, config.initial_scale_power) : config.loss_scale;
}

}  // namespace

LossScaler LossScaler::grad_scaler() {
  return LossScaler({.enabled = true, .initial_scale_power = 16, .loss_scale_window = 2000},
                    ScaleRule::kGradScaler);
}

LossScaler::LossScaler() : LossScaler(Fp16Config{}) {}

LossScaler::LossScaler(const Fp16Config& config, ScaleRule rule)
    : config_(config), rule_(rule), scale_(first_scale(config)), hysteresis_(config.hysteresis) {
  if (!dynamic()) return;
  DS_CHECK(config.loss_scale_window > 0, "fp16.loss_scale_window must be positive, it is {}",
           config.loss_scale_window);
  DS_CHECK(config.min_loss_scale > 0, "fp16.min_loss_scale must be positive, it is {}",
           config.min_loss_scale);
}

void LossScaler::update(bool overflow) {
  if (!dynamic()) return;
  overflow ? on_overflow() : on_clean();
  ++iteration_;
}

void LossScaler::on_overflow() {
  const auto floor = static_cast<double>(config_.min_loss_scale);
  if (rule_ == ScaleRule::kGradScaler) {
    scale_ /= 2;
  } else if (rule_ == ScaleRule::kHalve) {
    scale_ = std::max(scale_ / 2, floor);
  } else if (config_.hysteresis == 1 || hysteresis_ == 1) {
    DS_CHECK(scale_ != floor,
             "Current loss scale already at minimum ({}) - cannot decrease scale anymore: the gradients "
             "overflow at any "
             "scale; lower the learning rate, or train in bf16",
             scale_);
    scale_ = std::max(scale_ / 2, floor);
  } else {
    --hysteresis_;
  }
  last_overflow_ = iteration_;
}

void LossScaler::on_clean() {
  if (config_.consecutive_hysteresis) hysteresis_ = config_.hysteresis;
  const int64_t clean = iteration_ - last_overflow_ - (rule_ == ScaleRule::kGradScaler ? 0 : 1);
  if (clean <= 0 || clean % config_.loss_scale_window != 0) return;
  hysteresis_ = config_.hysteresis;
  scale_ *= 2;
}

std::map<std::string, double> LossScaler::state() const {
  if (!dynamic()) return {{"cur_scale", scale_}};
  return {{"cur_scale", scale_},
          {"cur_iter", static_cast<double>(iteration_)},
          {"last_overflow_iter", static_cast<double>(last_overflow_)},
          {"cur_hysteresis", hysteresis_}};
}

void LossScaler::load_state(const std::map<std::string, double>& state) {
  auto get = [&](const char* key) {
    auto it = state.find(key);
    DS_CHECK(it != state.end(),
             "loss scaler: the saved state has no '{}'; was it saved with a static loss scale?", key);
    return it->second;
  };
  if (!dynamic()) return;  // a static scale is what the configuration says now
  const double scale = get("cur_scale");
  const auto iteration = static_cast<int64_t>(get("cur_iter"));
  const auto last_overflow = static_cast<int64_t>(get("last_overflow_iter"));
  hysteresis_ = static_cast<int>(get("cur_hysteresis"));
  scale_ = scale, iteration_ = iteration, last_overflow_ = last_overflow;
}

}  // namespace deepspeed::optim
