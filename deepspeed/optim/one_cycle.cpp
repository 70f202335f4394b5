#include "deepspeed/optim/one_cycle.h"

#include <cmath>

#include "deepspeed/base/error.h"
#include "deepspeed/base/log.h"

namespace deepspeed::optim {

OneCycle::OneCycle(const OneCycleConfig& config, Optimizer& optimizer)
    : LrScheduler(optimizer),
      config_(config),
      first_(static_cast<double>(config.cycle_first_step_size)),
      second_(static_cast<double>(config.cycle_second_step_size.value_or(config.cycle_first_step_size))),
      first_stairs_(config.cycle_first_stair_count),
      second_stairs_(config.cycle_second_stair_count.value_or(config.cycle_first_stair_count)),
      cycle_momentum_(config.cycle_momentum && optimizer.has_betas()) {
  DS_CHECK(first_ > 0, "scheduler.params.cycle_first_step_size must be positive, it is {}", first_);
  DS_CHECK(second_ >= 0, "scheduler.params.cycle_second_step_size must not be negative, it is {}", second_);
  if (config.cycle_momentum && !cycle_momentum_)
    base::log_warning("scheduler: cycle_momentum is off, the optimizer {} has no betas", optimizer.type());
}

double OneCycle::scale(int64_t iteration) const {
  const double total = first_ + second_, peak = first_ / total;
  const auto n = static_cast<double>(iteration + 1);
  const double x = 1 + n / total - std::floor(1 + n / total);
  const bool rising = x <= peak;
  const int64_t stairs = rising ? first_stairs_ : second_stairs_;
  if (stairs > 0) return stair(n, static_cast<double>(stairs));
  return rising ? x / peak : (x - 1) / (peak - 1);
}

// From whole numbers of iterations rather than from the scale, which can end a hair below an exact stair and
// lose one.
double OneCycle::stair(double n, double count) const {
  const double total = first_ + second_, position = std::fmod(n, total);
  const double stairs = position <= first_ ? position * count / first_ : (total - position) * count / second_;
  return std::floor(stairs) / count;
}

double OneCycle::decay(int64_t iteration, double rate) const {
  if (config_.decay_step_size == 0 || rate == 0) return 1;
  const double steps = static_cast<double>(iteration) - (first_ + second_) + 1;
  return 1 + rate * (steps / static_cast<double>(config_.decay_step_size));
}

std::vector<double> OneCycle::rates(int64_t iteration) const {
  const double min = config_.cycle_min_lr, max = config_.cycle_max_lr;
  const double rate = in_cycle(iteration) ? min + (max - min) * scale(iteration)
                                          : min / decay(iteration, config_.decay_lr_rate);
  return std::vector<double>(optimizer_.groups().size(), rate);
}

std::vector<std::array<double, 2>> OneCycle::betas(int64_t iteration) const {
  if (!cycle_momentum_) return {};
  const double min = config_.cycle_min_mom, max = config_.cycle_max_mom;
  double momentum = min;
  if (iteration >= 0)
    momentum = in_cycle(iteration) ? max - (max - min) * scale(iteration)
                                   : max * decay(iteration, config_.decay_mom_rate);
  constexpr double kBeta2 = 0.99;
  return std::vector<std::array<double, 2>>(optimizer_.groups().size(), {momentum, kBeta2});
}

}  // namespace deepspeed::optim
