// The learning-rate range test (Smith 2017, arXiv:1506.01186): a rate that rises until training diverges.
#pragma once

#include "deepspeed/optim/scheduler.h"

namespace deepspeed::optim {

/// lr = min * (1 + rate * f), f = (i+1)/size, or its whole part for a staircase.
class LrRangeTest : public LrScheduler {
 public:
  LrRangeTest(const LrRangeTestConfig& config, Optimizer& optimizer);
  std::string type() const override { return "LRRangeTest"; }

 protected:
  std::vector<double> rates(int64_t iteration) const override;

 private:
  LrRangeTestConfig config_;
  std::vector<double> min_;
};

}  // namespace deepspeed::optim
