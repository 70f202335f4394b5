#include "deepspeed/optim/warmup.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "deepspeed/base/error.h"
#include "deepspeed/base/log.h"

namespace deepspeed::optim {
namespace {

WarmupLrConfig warmup_part(const WarmupDecayLrConfig& config) {
  return {config.warmup_min_lr, config.warmup_max_lr, config.warmup_num_steps, config.warmup_type};
}

void check_total(int64_t total, int64_t warmup) {
  DS_CHECK(total > 0, "scheduler.params.total_num_steps must be positive, it is {}", total);
  if (total < warmup)
    base::log_warning("scheduler: total_num_steps {} is less than warmup_num_steps {}", total, warmup);
}

}  // namespace

WarmupGrowth::WarmupGrowth(int64_t warmup_num_steps, WarmupType type)
    : num_steps_(std::max<int64_t>(2, warmup_num_steps)),
      type_(type),
      inverse_log_(1.0 / std::log(static_cast<double>(num_steps_))) {
  DS_CHECK(warmup_num_steps > 0, "scheduler.params.warmup_num_steps must be positive, it is {}",
           warmup_num_steps);
}

double WarmupGrowth::at(int64_t iteration) const {
  const auto i = static_cast<double>(iteration);
  return type_ == WarmupType::kLog ? inverse_log_ * std::log(i + 1) : i / static_cast<double>(num_steps_);
}

WarmupLr::WarmupLr(const WarmupLrConfig& config, Optimizer& optimizer)
    : LrScheduler(optimizer),
      min_(per_group(config.warmup_min_lr, "warmup_min_lr")),
      max_(per_group(config.warmup_max_lr, "warmup_max_lr")),
      growth_(config.warmup_num_steps, config.warmup_type) {}

std::vector<double> WarmupLr::rates(int64_t iteration) const {
  if (iteration < 0) return min_;
  const double growth = growth_.covers(iteration) ? growth_.at(iteration) : after_warmup(iteration);
  std::vector<double> rates(min_.size());
  for (size_t g = 0; g < rates.size(); ++g) rates[g] = min_[g] + (max_[g] - min_[g]) * growth;
  return rates;
}

WarmupDecayLr::WarmupDecayLr(const WarmupDecayLrConfig& config, Optimizer& optimizer)
    : WarmupLr(warmup_part(config), optimizer), total_num_steps_(config.total_num_steps) {
  check_total(total_num_steps_, growth_.num_steps());
}

double WarmupDecayLr::after_warmup(int64_t iteration) const {
  const auto left = static_cast<double>(total_num_steps_ - iteration);
  const auto all = static_cast<double>(std::max<int64_t>(1, total_num_steps_ - growth_.num_steps()));
  return std::max(0.0, left / all);
}

WarmupCosineLr::WarmupCosineLr(const WarmupCosineLrConfig& config, Optimizer& optimizer)
    : LrScheduler(optimizer),
      config_(config),
      growth_(config.warmup_num_steps, config.warmup_type),
      own_(per_group({}, "lr")) {
  check_total(config.total_num_steps, growth_.num_steps());
}

std::vector<double> WarmupCosineLr::rates(int64_t iteration) const {
  std::vector<double> rates = own_;
  for (double& rate : rates) rate *= iteration < 0 ? 0.0 : ratio(iteration);
  return rates;
}

double WarmupCosineLr::ratio(int64_t iteration) const {
  if (growth_.covers(iteration)) {
    return config_.warmup_min_ratio + growth_.at(iteration) * (1 - config_.warmup_min_ratio);
  }
  const auto done = static_cast<double>(iteration - growth_.num_steps() + 1);
  const auto all = static_cast<double>(std::max<int64_t>(1, config_.total_num_steps - growth_.num_steps()));
  // Held at the end: without the bound the rate would rise again after total_num_steps.
  const double progress = std::min(1.0, done / all);
  const double cosine = (1 + std::cos(std::numbers::pi * progress)) / 2;
  return std::max(0.0, config_.cos_min_ratio + (1 - config_.cos_min_ratio) * cosine);
}

}  // namespace deepspeed::optim
