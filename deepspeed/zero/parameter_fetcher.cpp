#include "deepspeed/zero/parameter_fetcher.h"

#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "deepspeed/base/error.h"
#include "deepspeed/base/log.h"
#include "deepspeed/zero/fetch_units.h"

namespace deepspeed::zero {
namespace {

// What a rank announces: a kind, and a unit, bucket or parameter.
enum Call : int64_t { kFetch, kReduce, kEndPass, kHold };
int64_t call_of(Call kind, size_t number) { return static_cast<int64_t>(number) * 4 + kind; }

}  // namespace

class ParameterFetcher::Observer : public nn::BlockObserver {
 public:
  Observer(ParameterFetcher& fetcher, size_t unit) : fetcher_(fetcher), unit_(unit) {}
  void before_forward(nn::Block&) override { fetcher_.on_event({unit_, true}); }
  void after_forward(nn::Block&) override { fetcher_.on_event({unit_, false}); }
  void before_backward(nn::Block&) override { fetcher_.on_event({unit_, true}); }
  void after_backward(nn::Block&) override { fetcher_.on_event({unit_, false}); }

 private:
  ParameterFetcher& fetcher_;
  size_t unit_;
};

ParameterFetcher::ParameterFetcher(torch::nn::Module& model, std::vector<ParameterShards*> shards,
                                   const Stage3Config& config, comm::Group& group)
    : config_(config),
      limits_{.prefetch = config.allgather_sequential ? 0 : config.prefetch_bucket_size,
              .max_live = config.max_live_parameters,
              .max_reuse_distance = config.max_reuse_distance},
      shards_(std::move(shards)),
      agreement_(group, [this](int64_t call) { return describe(call); }) {
  number_parameters(shards_);
  make_units(model);
}

ParameterFetcher::~ParameterFetcher() {
  for (const auto& [block, observer] : observers_) block->remove_observer(observer.get());
}

void ParameterFetcher::number_parameters(const std::vector<ParameterShards*>& shards) {
  for (ParameterShards* owner : shards) {
    for (size_t i = 0; i < owner->parameters().size(); ++i) {
      const at::Tensor& tensor = owner->parameters()[i].tensor;
      if (tensor.numel() == 0) continue;
      place_of_[tensor.unsafeGetTensorImpl()] = {owner, i};
      if (owner->is_persistent(i)) continue;
      number_of_[tensor.unsafeGetTensorImpl()] = parameters_.size();
      parameters_.push_back({owner, i, tensor.numel()});
      numel_.push_back(tensor.numel());
    }
  }
}

void ParameterFetcher::make_units(torch::nn::Module& model) {
  std::vector<char> covered(parameters_.size(), 0);
  for (auto& planned : blocks_to_fetch(model, config_)) {
    const size_t unit = add_unit(planned.name, planned.parameters);
    for (const size_t p : units_[unit]) covered[p] = 1;
    if (units_[unit].empty()) continue;
    observers_.emplace_back(planned.block, std::make_shared<Observer>(*this, unit));
    planned.block->add_observer(observers_.back().second);
  }
  std::vector<at::Tensor> rest;
  for (size_t p = 0; p < parameters_.size(); ++p)
    if (!covered[p]) rest.push_back(parameters_[p].shards->parameters()[parameters_[p].index].tensor);
  if (!rest.empty()) rest_ = add_unit("", rest);
}

size_t ParameterFetcher::add_unit(std::string name, const std::vector<at::Tensor>& tensors) {
  std::vector<size_t> unit;
  for (const at::Tensor& tensor : tensors) {
    const auto number = number_of_.find(tensor.unsafeGetTensorImpl());
    if (number == number_of_.end()) continue;
    if (std::find(unit.begin(), unit.end(), number->second) == unit.end()) unit.push_back(number->second);
  }
  units_.push_back(std::move(unit));
  unit_names_.push_back(name.empty() ? "the model" : "Block '" + name + "'");
  return units_.size() - 1;
}

std::string ParameterFetcher::describe(int64_t call) const {
  const auto number = static_cast<size_t>(call / 4);
  switch (call % 4) {
    case kFetch:
      return number < unit_names_.size() ? "to run " + unit_names_[number] : "to run an unknown Block";
    case kReduce:
      return fmt::format("to reduce gradient bucket {}", number);
    case kEndPass:
      return "to end its pass";
    default:
      return number < parameters_.size()
                 ? fmt::format("to gather '{}'",
                               parameters_[number].shards->parameters()[parameters_[number].index].name)
                 : "to gather an unknown parameter";
  }
}

void ParameterFetcher::begin_pass(bool trains) {
  if (parameters_.empty()) return;
  // A pass that nobody ended: its backward did not come, or an error ended it among the Blocks.
  if (in_pass_) {
    end_pass();
    for (size_t p = 0; p < parameters_.size(); ++p) {
      parameters_[p].held = 0;
      release(p);
    }
  }
  in_pass_ = true;
  trains_ = trains;
  follows_ = trains && !plan_.empty();
  seen_.clear();
  if (rest_) on_event({*rest_, true});
}

void ParameterFetcher::end_pass() {
  if (!in_pass_) return;
  if (rest_) on_event({*rest_, false});
  in_pass_ = false;
  agreement_.announce(call_of(kEndPass, 0));
  agreement_.check();
  for (size_t p = 0; p < parameters_.size(); ++p)
    if (parameters_[p].held == 0) release(p);
  if (trains_ && follows_ && seen_.size() == planned_.size())
    ++passes_planned_;
  else if (trains_)
    replan();
  end_round();
}

// Steps use the same buffers again and again. An evaluation between two of them, which needs fewer, does not
// take them away; one of several passes does.
void ParameterFetcher::end_round() {
  if (trains_ || !trained_last_)
    for (ParameterShards* shards : shards_) shards->end_round();
  trained_last_ = trains_;
}

// Only a pass in which everything that was acquired was released again can be planned: a forward whose
// backward took another way (an exception, an unused loss) is not the rule.
void ParameterFetcher::replan() {
  if (!plan_.empty()) {
    ++passes_replanned_;
    if (config_.log_trace_cache_warnings)
      base::log_warning("stage 3: the order of Blocks has changed, their parameters are planned anew");
  }
  std::vector<int> held(units_.size(), 0);
  bool balanced = true;
  for (const FetchEvent& event : seen_)
    if ((held[event.unit] += event.acquires ? 1 : -1) < 0) balanced = false;
  for (const int count : held) balanced = balanced && count == 0;
  plan_.clear();
  planned_.clear();
  if (!balanced) return;
  plan_ = plan_fetches(units_, numel_, seen_, limits_);
  planned_ = seen_;
}

void ParameterFetcher::on_event(const FetchEvent& event) {
  at::NoGradGuard no_grad;
  const FetchStep step = next_step(event);
  if (in_pass_ && trains_) seen_.push_back(event);
  for (const size_t p : units_[event.unit]) parameters_[p].held += event.acquires ? 1 : -1;
  carry_out(step, event);
}

// The plan's step where this pass still follows the plan; else what cannot wait.
FetchStep ParameterFetcher::next_step(const FetchEvent& event) {
  if (follows_ && in_pass_) {
    if (seen_.size() < planned_.size() && planned_[seen_.size()] == event) return plan_[seen_.size()];
    follows_ = false;
  }
  return on_demand(event);
}

FetchStep ParameterFetcher::on_demand(const FetchEvent& event) const {
  FetchStep step;
  for (const size_t p : units_[event.unit]) {
    if (event.acquires)
      step.fetch.push_back(p);
    else if (parameters_[p].held == 1)
      step.release.push_back(p);
  }
  return step;
}

void ParameterFetcher::carry_out(const FetchStep& step, const FetchEvent& event) {
  for (const size_t p : step.release)
    if (parameters_[p].held == 0) release(p);
  bool announced = false;
  for (const size_t p : step.fetch) {
    const Parameter& parameter = parameters_[p];
    if (parameter.shards->is_here(parameter.index)) continue;
    if (!std::exchange(announced, true)) agreement_.announce(call_of(kFetch, event.unit));
    start(p);
    if (config_.allgather_sequential) parameter.shards->finish(parameter.index);
  }
  if (follows_ && in_pass_ && seen_.size() < plan_.size())  // what the next event will gather
    for (const size_t p : plan_[seen_.size()].fetch) parameters_[p].shards->read_ahead(parameters_[p].index);
  if (!event.acquires) return;
  agreement_.check();
  for (const size_t p : units_[event.unit]) parameters_[p].shards->finish(parameters_[p].index);
}

void ParameterFetcher::start(size_t param, bool exact) {
  Parameter& parameter = parameters_[param];
  if (parameter.shards->is_under_way(parameter.index)) return;
  parameter.shards->start(parameter.index, exact);
  live_ += parameter.numel;
  most_live_ = std::max(most_live_, live_);
}

void ParameterFetcher::release(size_t param) {
  Parameter& parameter = parameters_[param];
  if (!parameter.shards->is_here(parameter.index) && !parameter.shards->is_under_way(parameter.index)) return;
  parameter.shards->release(parameter.index);
  live_ -= parameter.numel;
}

void ParameterFetcher::agree_on_reduction(size_t bucket) {
  agreement_.announce(call_of(kReduce, bucket));
  agreement_.check();
}

std::optional<std::pair<ParameterShards*, size_t>> ParameterFetcher::find(const at::Tensor& tensor) const {
  const auto place = place_of_.find(tensor.unsafeGetTensorImpl());
  return place == place_of_.end() ? std::nullopt : std::optional(place->second);
}

void ParameterFetcher::hold(const at::Tensor& tensor) {
  const auto number = number_of_.find(tensor.unsafeGetTensorImpl());
  if (number == number_of_.end()) return;
  Parameter& parameter = parameters_[number->second];
  if (!parameter.shards->is_here(parameter.index)) {
    agreement_.announce(call_of(kHold, number->second));
    start(number->second, /*exact=*/true);
    agreement_.check();
    parameter.shards->finish(parameter.index);
  }
  ++parameter.held;
}

void ParameterFetcher::let_go(const at::Tensor& tensor) {
  const auto number = number_of_.find(tensor.unsafeGetTensorImpl());
  if (number != number_of_.end() && --parameters_[number->second].held == 0) release(number->second);
}

GatheredParameters::GatheredParameters(ParameterFetcher& fetcher, std::vector<at::Tensor> parameters,
                                       std::optional<int> modifier, comm::Group& group)
    : fetcher_(fetcher), parameters_(std::move(parameters)), modifier_(modifier), group_(group) {
  size_t held = 0;
  try {
    for (; held < parameters_.size(); ++held) fetcher_.hold(parameters_[held]);
  } catch (...) {
    for (size_t i = 0; i < held; ++i) fetcher_.let_go(parameters_[i]);
    throw;
  }
}

GatheredParameters::~GatheredParameters() {
  try {
    close();
  } catch (const std::exception& error) {
    base::log_error("giving gathered parameters back failed: {}", error.what());
  }
}

void GatheredParameters::close() {
  if (!std::exchange(open_, false)) return;
  at::NoGradGuard no_grad;
  std::exception_ptr failure;
  for (const at::Tensor& parameter : parameters_) {
    try {
      if (modifier_ && !failure) {
        group_.broadcast(parameter.detach(), *modifier_);
        if (const auto place = fetcher_.find(parameter)) place->first->keep_part_of(place->second);
      }
      fetcher_.let_go(parameter);
    } catch (...) {
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace deepspeed::zero
