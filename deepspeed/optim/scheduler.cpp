#include "deepspeed/optim/scheduler.h"

#include "deepspeed/base/error.h"
#include "deepspeed/optim/lr_range_test.h"
#include "deepspeed/optim/one_cycle.h"
#include "deepspeed/optim/warmup.h"

namespace deepspeed::optim {
namespace {

struct Make {
  Optimizer& optimizer;
  std::unique_ptr<LrScheduler> operator()(const std::monostate&) const { return nullptr; }
  std::unique_ptr<LrScheduler> operator()(const LrRangeTestConfig& c) const {
    return std::make_unique<LrRangeTest>(c, optimizer);
  }
  std::unique_ptr<LrScheduler> operator()(const OneCycleConfig& c) const {
    return std::make_unique<OneCycle>(c, optimizer);
  }
  std::unique_ptr<LrScheduler> operator()(const WarmupLrConfig& c) const {
    return std::make_unique<WarmupLr>(c, optimizer);
  }
  std::unique_ptr<LrScheduler> operator()(const WarmupDecayLrConfig& c) const {
    return std::make_unique<WarmupDecayLr>(c, optimizer);
  }
  std::unique_ptr<LrScheduler> operator()(const WarmupCosineLrConfig& c) const {
    return std::make_unique<WarmupCosineLr>(c, optimizer);
  }
};

}  // namespace

void LrScheduler::step() {
  ++iteration_;
  write();
}

std::map<std::string, double> LrScheduler::state_dict() const {
  return {{"last_batch_iteration", static_cast<double>(iteration_)}};
}

void LrScheduler::load_state_dict(const std::map<std::string, double>& state) {
  auto it = state.find("last_batch_iteration");
  DS_CHECK(it != state.end() && it->second >= -1,
           "scheduler {}: the saved state has no valid last_batch_iteration", type());
  iteration_ = static_cast<int64_t>(it->second);
  write();
}

void LrScheduler::write() {
  auto& groups = optimizer_.groups();
  const auto lr = rates(iteration_);
  const auto momentum = betas(iteration_);
  for (size_t g = 0; g < groups.size(); ++g) {
    groups[g].lr = lr[g];
    if (!momentum.empty()) groups[g].betas = momentum[g];
  }
}

std::vector<double> LrScheduler::per_group(const PerGroup& values, const char* key) const {
  const auto& groups = optimizer_.groups();
  if (values.size() == 1) return std::vector<double>(groups.size(), values[0]);
  if (!values.empty()) {
    DS_CHECK(values.size() == groups.size(),
             "scheduler.params.{}: expected one value or {}, one a parameter group; got {}", key,
             groups.size(), values.size());
    return values;
  }
  std::vector<double> own;
  for (const ParamGroup& group : groups) own.push_back(group.lr);
  return own;
}

std::unique_ptr<LrScheduler> make_scheduler(const SchedulerConfig& config, Optimizer& optimizer) {
  auto scheduler = std::visit(Make{optimizer}, config.schedule);
  if (scheduler) scheduler->write();
  return scheduler;
}

}  // namespace deepspeed::optim
