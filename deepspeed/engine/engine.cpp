#include "deepspeed/engine/engine.h"

#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <cmath>

#include "deepspeed/accel/dtype.h"
#include "deepspeed/accel/gradient_place.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/log.h"
#include "deepspeed/engine/accelerator.h"

namespace deepspeed::engine {
namespace {

class Raised {
 public:
  explicit Raised(bool& flag) : flag_(flag) { flag_ = true; }
  ~Raised() { flag_ = false; }
  Raised(const Raised&) = delete;
  Raised& operator=(const Raised&) = delete;

 private:
  bool& flag_;
};

optim::LossScaler make_scaler(const DeepspeedConfig& config) {
  if (config.scales_loss() && !config.fp16.enabled) return optim::LossScaler::grad_scaler();
  return optim::LossScaler(config.fp16,
                           config.zero.stage == 0 ? optim::ScaleRule::kHalve : optim::ScaleRule::kHysteresis);
}

}  // namespace

Engine::Engine(EngineParts parts)
    : parts_(std::move(parts)),
      report_(parts_.config, parts_.group ? parts_.group->rank() : 0, parts_.print),
      scaler_(make_scaler(parts_.config)) {
  DS_CHECK(parts_.model != nullptr, "initialize needs a model");
  DS_CHECK(parts_.group != nullptr, "the engine needs a process group");
  check_accelerator(config(), parts_.group->device());
  report_.memory("DeepSpeed Engine: After args sanity test");
  report_.memory("DeepSpeed Engine: Before configure distributed model");
  states_ = std::make_unique<ModelStates>(ModelStatesParts{.model = *parts_.model,
                                                           .config = config(),
                                                           .group = parts_.group,
                                                           .groups = parts_.groups,
                                                           .values = parts_.values.get(),
                                                           .same_on_all_ranks = parts_.same_on_all_ranks});
  make_optimizer();
  listen_to_gradients();
  report_.started(step_state());
  if (config().engine.dump_state) report_.dump("DeepSpeedEngine", attributes());
}

Engine::~Engine() = default;

void Engine::make_optimizer() {
  auto groups = states_->optimizer_groups();
  const bool offloads = config().zero.offload_optimizer.enabled();
  if (parts_.optimizer) {
    DS_CHECK(config().zero.stage == 0 || config().engine.zero_allow_untested_optimizer,
             "ZeRO with an optimizer of your own needs \"zero_allow_untested_optimizer\": true");
    DS_CHECK(!offloads || !config().engine.zero_force_ds_cpu_optimizer,
             "optimizer offload with an optimizer of your own needs \"zero_force_ds_cpu_optimizer\": false");
    optimizer_ = parts_.optimizer(std::move(groups));
  } else {
    DS_CHECK(config().optimizer.type.has_value(),
             "the configuration has no 'optimizer' and initialize was given none");
    optim::OptimizerConfig rule = config().optimizer;
    if (offloads && config().bf16.bf16_optimizer_states) rule.fp32_optimizer_states = false;
    // On a GPU DeepSpeed's FusedAdam has a kernel of its own; on a CPU it is DeepSpeedCPUAdam's.
    const bool on_gpu = !parts_.group->device().is_cpu() && !offloads;
    optimizer_ = optim::make_optimizer(
        rule, std::move(groups),
        {.cpu_offload = offloads, .order = on_gpu ? std::optional(ops::UpdateOrder::kFused) : std::nullopt});
  }
  place_optimizer_states();
  if (config().model_dtype() != config::DataType::kFp32 && !states_->table().optimizer.sharded)
    take_first_step();
  if (parts_.scheduler)
    scheduler_ = parts_.scheduler(*optimizer_);
  else if (!std::holds_alternative<std::monostate>(config().scheduler.schedule))
    scheduler_ = optim::make_scheduler(config().scheduler, *optimizer_);
}

void Engine::place_optimizer_states() {
  home_ = zero::make_optimizer_home(*optimizer_, config().zero, config().aio,
                                    {.publish_all = states_->all().front()->has_host_side(),
                                     .read =
                                         [this](size_t group, size_t piece, at::Tensor out) {
                                           const auto [states, i] = states_->owner(group, piece);
                                           out.copy_(states->values_of(i));
                                         },
                                     .publish =
                                         [this](size_t group, size_t piece, const at::Tensor& values) {
                                           const auto [states, i] = states_->owner(group, piece);
                                           states->write_values(i, values);
                                         },
                                     .finish =
                                         [this] {
                                           for (const auto& states : states_->all()) states->finish_writes();
                                         }});
  for (size_t s = 0; s < states_->all().size(); ++s)
    states_->all()[s]->set_write_master(
        [this, place = states_->place(s)](size_t piece, int64_t begin, const at::Tensor& values) {
          home_->write(place.group, place.first_piece + piece, zero::kMasterCopy, begin, values);
        });
}

// DeepSpeed's wrapper of 16-bit training without ZeRO makes its optimizer's states by a step on zero
// gradients (runtime/fp16/fused_optimizer.py, initialize_optimizer_states): masters decay once and bias
// correction counts one step more than at other stages. Only the masters move; the 16-bit parameters follow
// at the first real step.
void Engine::take_first_step() {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> values;
  for (const auto& states : states_->all())
    for (const auto& p : states->parameters()) values.push_back(p.tensor.detach().clone());
  home_->step(1);
  auto value = values.begin();
  for (const auto& states : states_->all())
    for (const auto& p : states->parameters()) p.tensor.detach().copy_(*value++);
}

void Engine::listen_to_gradients() {
  const auto& all = states_->all();
  for (size_t g = 0; g < all.size(); ++g) {
    for (size_t i = 0; i < all[g]->parameters().size(); ++i) {
      const at::Tensor& leaf = all[g]->parameters()[i].tensor;
      subscriptions_.push_back(
          nn::on_gradient(leaf, [this, g, i](const at::Tensor& parameter) { on_gradient(g, i, parameter); }));
      auto& gradients = all[g]->gradients();
      if (leaf.is_cpu() && leaf.scalar_type() == gradients.dtype())
        subscriptions_.push_back(
            accel::offer_gradient_place(leaf, [&gradients, i] { return gradients.place(i); }));
    }
    if (states_->table().parameter.sharded)
      all[g]->gradients().set_before_issue(
          [this](size_t bucket) { states_->fetcher().agree_on_reduction(bucket); });
  }
}

std::unique_ptr<accel::Autocast> Engine::autocast() const {
  const auto type = config().torch_autocast.cast_type();
  return type ? std::make_unique<accel::Autocast>(accel::scalar_type(*type)) : nullptr;
}

void Engine::begin_forward() {
  report_.memory("Engine before forward");
  report_.begin_forward();
  states_->fetcher().begin_pass(parts_.model->is_training());
  if (parts_.rng) parts_.rng->set_step(static_cast<uint64_t>(forward_passes_));
  if (parts_.model->is_training()) ++forward_passes_;
}

double Engine::loss_factor() const {
  return scaler_.scale() / static_cast<double>(gradient_accumulation_steps());
}

void Engine::on_gradient(size_t group, size_t index, const at::Tensor& parameter) {
  at::NoGradGuard no_grad;
  if (!backward_open_) {
    DS_CHECK(backward_is_ours_ || scaled_ || !config().scales_loss(),
             "loss.backward() under fp16 without the loss scale: call engine.backward(loss), or "
             "engine.scale(loss).backward()");
    open_backward();
    // A plain loss.backward() of the user's: nobody else will say when it is over.
    if (!backward_is_ours_) nn::after_backward([this] { end_backward(); });
  }
  states_->all()[group]->gradients().add(index, parameter.grad());
  parameter.mutable_grad().reset();  // the accumulation lives in the reducer
}

void Engine::open_backward() {
  report_.memory("Engine before backward");
  backward_open_ = true;
  if (auto* timers = report_.timers()) {
    timers->start(observe::Phase::kBackward);
    timers->start(observe::Phase::kBackwardInner);
  }
  const bool reduces = is_gradient_accumulation_boundary() && !in_no_sync_;
  for (auto& states : states_->all()) states->gradients().set_boundary(reduces);
}

at::Tensor Engine::scale(const at::Tensor& loss) {
  DS_CHECK(loss.numel() == 1, "a loss is a scalar, got {} elements", loss.numel());
  scaled_ = true;
  return scaler_.scale() == 1 ? loss : loss * scaler_.scale();
}

at::Tensor Engine::backward(const at::Tensor& loss, const BackwardOptions& options) {
  const bool divides = options.scale_wrt_gas && gradient_accumulation_steps() > 1;
  const at::Tensor shared = divides ? loss / static_cast<double>(gradient_accumulation_steps()) : loss;
  open_backward();
  {
    const Raised ours(backward_is_ours_);
    scale(shared).backward({}, options.retain_graph);
  }
  end_backward();
  return shared.detach();
}

void Engine::end_backward() {
  at::NoGradGuard no_grad;
  if (auto* timers = report_.timers()) timers->stop(observe::Phase::kBackwardInner);
  backward_open_ = false;
  scaled_ = false;
  ++backward_passes_;
  {
    const observe::PhaseTimer timed(report_.timers(), observe::Phase::kBackwardReduce);
    finish_reductions();
  }
  states_->fetcher().end_pass();
  report_.memory("Engine after backward");
  if (auto* timers = report_.timers()) timers->stop(observe::Phase::kBackward);
}

void Engine::finish_reductions() {
  for (auto& states : states_->all()) {
    states->gradients().finish([&](size_t index) {
      DS_CHECK(config().zero.ignore_unused_parameters || config().zero.stage != 2,
               "parameter '{}' got no gradient and zero_optimization.ignore_unused_parameters is false",
               states->parameters()[index].name);
    });
  }
}

Engine::NoSync::NoSync(Engine& engine) : engine_(engine) {
  DS_CHECK(!engine.states_->table().gradient.sharded,
           "no_sync keeps whole gradients on each rank, which zero_optimization.stage {} does not have",
           engine.config().zero.stage);
  DS_CHECK(!engine.in_no_sync_, "no_sync is active already");
  engine.in_no_sync_ = true;
}

bool Engine::is_gradient_accumulation_boundary() const {
  if (!config().engine.managed_gradient_accumulation) return in_step_;
  return boundary_.value_or((micro_steps_ + 1) % gradient_accumulation_steps() == 0);
}

void Engine::set_gradient_accumulation_boundary(bool boundary) {
  DS_CHECK(config().engine.managed_gradient_accumulation,
           "with managed_gradient_accumulation false every step() is the boundary: there is none to set");
  boundary_ = boundary;
}

void Engine::set_train_batch_size(int64_t samples) {
  const int64_t unit = train_micro_batch_size_per_gpu() * parts_.group->size();
  DS_CHECK(samples > 0 && samples % unit == 0,
           "train batch size {} is not a multiple of {} (micro-batch {} times {} ranks)", samples, unit,
           train_micro_batch_size_per_gpu(), parts_.group->size());
  parts_.config.engine.train_batch_size = samples;
  parts_.config.engine.gradient_accumulation_steps = samples / unit;
}

void Engine::set_train_micro_batch_size(int64_t samples) {
  DS_CHECK(samples > 0, "a micro-batch of {} samples", samples);
  parts_.config.engine.train_micro_batch_size_per_gpu = samples;
  parts_.config.engine.train_batch_size = samples * gradient_accumulation_steps() * parts_.group->size();
}

void Engine::zero_grad() {
  for (auto& states : states_->all()) states->gradients().clear();
  parts_.model->zero_grad();
}

void Engine::step() {
  DS_CHECK(!in_no_sync_, "step() inside no_sync: leave it first");
  report_.memory("Engine before step");
  at::NoGradGuard no_grad;
  bool boundary = false;
  {
    const observe::PhaseTimer timed(report_.timers(), observe::Phase::kStep);
    in_step_ = true;
    boundary = is_gradient_accumulation_boundary();
    in_step_ = false;
    ++micro_steps_;
    step_applied_ = false;
    if (boundary) update();
  }
  report_.end_micro_batch(boundary,
                          boundary && report_.wants_state() ? std::optional(step_state()) : std::nullopt);
  report_.memory("Engine after step");
}

void Engine::update() {
  states_->fetcher().end_pass();  // a forward without backward may have left parameters gathered
  for (auto& states : states_->all()) states->gradients().flush();
  apply_step(judge_gradients());
  for (auto& states : states_->all()) states->gradients().clear();
  ++global_steps_;
  global_samples_ += config().engine.managed_gradient_accumulation
                         ? train_batch_size()
                         : backward_passes_ * train_batch_size() / gradient_accumulation_steps();
  backward_passes_ = 0;
}

// Every rank looks at its own part of the gradient, whatever the stage: the same sums in the same order, so
// that a clipped step has the same bits at every stage.
Engine::Decision Engine::judge_gradients() {
  const bool checks = config().scales_loss() || (config().bf16.enabled && config().bf16.check_grad_overflow);
  const double clipping = config().engine.gradient_clipping;
  grad_norm_.reset();
  if (!checks && !config().zero.compute_grad_norm) return {.grad_scale = 1 / scaler_.scale()};

  optim::NormResult norm;
  for (auto& states : states_->all()) norm += optim::norm_squared(states->gradients().shard());
  at::Tensor sums = at::zeros({2}, at::kDouble);
  sums[0] = norm.sum_squares;
  sums[1] = norm.finite ? 0.0 : 1.0;
  states_->groups().shard->all_reduce(sums);
  const double total = std::sqrt(sums[0].item<double>());
  if (checks && sums[1].item<double>() > 0) return {.overflow = true};
  if (config().zero.compute_grad_norm) grad_norm_ = total / scaler_.scale();
  return {.grad_scale = optim::clip_factor(total, clipping, scaler_.scale())};
}

void Engine::apply_step(const Decision& decision) {
  if (decision.overflow) {
    ++skipped_steps_;
    if (parts_.group->rank() == 0)
      base::log_info("step {}: gradients overflowed at loss scale {}, the step is skipped", global_steps_ + 1,
                     scaler_.scale());
  } else {
    home_->step(decision.grad_scale);
    for (auto& states : states_->all()) states->publish();
    step_applied_ = true;
  }
  if (config().scales_loss()) scaler_.update(decision.overflow);
  if (!decision.overflow && scheduler_) scheduler_->step();
}

std::vector<double> Engine::get_lr() const {
  std::vector<double> rates;
  for (const auto& group : optimizer_->groups()) rates.push_back(group.lr);
  return rates;
}

std::vector<std::array<double, 2>> Engine::get_mom() const {
  std::vector<std::array<double, 2>> betas;
  for (const auto& group : optimizer_->groups()) betas.push_back(group.betas);
  return betas;
}

StepState Engine::step_state() const {
  return {.step = global_steps_,
          .samples = global_samples_,
          .skipped = skipped_steps_,
          .batch = train_batch_size(),
          .lr = get_lr(),
          .mom = get_mom(),
          .loss_scale = config().fp16.enabled ? std::optional(scaler_.scale()) : std::nullopt};
}

}  // namespace deepspeed::engine
