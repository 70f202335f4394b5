#include "deepspeed/optim/lr_range_test.h"

#include <cmath>

#include "deepspeed/base/error.h"

namespace deepspeed::optim {

LrRangeTest::LrRangeTest(const LrRangeTestConfig& config, Optimizer& optimizer)
    : LrScheduler(optimizer),
      config_(config),
      min_(per_group(config.lr_range_test_min_lr, "lr_range_test_min_lr")) {
  DS_CHECK(config.lr_range_test_step_size > 0,
           "scheduler.params.lr_range_test_step_size must be positive, it is {}",
           config.lr_range_test_step_size);
}

std::vector<double> LrRangeTest::rates(int64_t iteration) const {
  double f = static_cast<double>(iteration + 1) / static_cast<double>(config_.lr_range_test_step_size);
  if (config_.lr_range_test_staircase) f = std::floor(f);
  std::vector<double> rates = min_;
  for (double& rate : rates) rate *= 1 + config_.lr_range_test_step_rate * f;
  return rates;
}

}  // namespace deepspeed::optim
