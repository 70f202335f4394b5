#include "deepspeed/recompute/recompute.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/container/sequential.h>

#include <chrono>
#include <set>

#include "deepspeed/accel/autocast.h"
#include "deepspeed/nn/grad_hooks.h"
#include "deepspeed/ops/linear_cross_entropy.h"

namespace deepspeed::recompute {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What the first computation read beside its inputs and parameters.
class Surroundings {
 public:
  explicit Surroundings(std::shared_ptr<accel::Rng> rng)
      : rng_(std::move(rng)),
        step_(rng_ ? rng_->step() : 0),
        loss_factor_(ops::LossFactor::current()),
        autocast_(accel::Autocast::current()) {}

  variable_list compute_within(const nn::ForwardRunner::Compute& compute, const variable_list& inputs) const {
    const ops::LossFactor factor(loss_factor_);
    // Casts made without gradients must not be kept for uses that need them.
    const accel::Autocast autocast(autocast_, at::GradMode::is_enabled() ? accel::Autocast::Casts::kKept
                                                                         : accel::Autocast::Casts::kAnew);
    if (!rng_) return compute(inputs);
    struct Restore {
      accel::Rng& rng;
      uint64_t step;
      ~Restore() { rng.set_step(step); }
    } restore{*rng_, rng_->step()};
    rng_->set_step(step_);
    return compute(inputs);
  }

 private:
  std::shared_ptr<accel::Rng> rng_;
  uint64_t step_;
  double loss_factor_;
  std::optional<at::ScalarType> autocast_;
};

using PrintLine = std::function<void(const std::string&)>;

// Says, when it ends without an error, how long it lived.
class Timed {
 public:
  Timed(const PrintLine& print, const char* name) : print_(print), name_(name) {}
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;
  void end() const {
    if (!print_) return;
    const std::chrono::duration<double, std::milli> ms = Clock::now() - begin_;
    print_(fmt::format("time (ms) | {}: {:.2f}", name_, ms.count()));
  }

 private:
  using Clock = std::chrono::steady_clock;
  const PrintLine& print_;
  const char* name_;
  Clock::time_point begin_ = Clock::now();
};

// What a checkpointed computation needs again; kept by its node of the graph.
struct Call : torch::CustomClassHolder {
  Call(nn::ForwardRunner::Compute compute, const Options& options)
      : compute(std::move(compute)),
        surroundings(options.rng),
        to_host(options.config.cpu_checkpointing),
        print(options.config.profile ? options.print : PrintLine()) {}
  struct Input {
    c10::Device device;
    bool requires_grad;
  };
  nn::ForwardRunner::Compute compute;
  Surroundings surroundings;
  bool to_host;
  PrintLine print;
  std::vector<Input> inputs;
};

struct Checkpointed : torch::autograd::Function<Checkpointed> {
  // `anchor` makes the outputs differentiable where no input is, for the parameters' sake.
  static variable_list forward(AutogradContext* context, c10::intrusive_ptr<Call> call,
                               const at::Tensor& anchor, at::TensorList inputs) {
    const Timed timed(call->print, "fwd");
    const variable_list given = inputs.vec();
    variable_list kept;
    for (const auto& input : given) kept.push_back(call->to_host ? input.to(at::kCPU) : input);
    context->save_for_backward(std::move(kept));
    context->set_materialize_grads(false);
    for (const auto& input : given) call->inputs.push_back({input.device(), input.requires_grad()});
    variable_list outputs = call->surroundings.compute_within(call->compute, given);
    timed.end();
    context->saved_data["call"] = c10::IValue::make_capsule(std::move(call));
    static_cast<void>(anchor);
    return outputs;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto capsule = context->saved_data["call"].toCapsule();
    const auto& call = static_cast<const Call&>(*capsule);
    const Timed timed(call.print, "backward");
    const variable_list saved = context->get_saved_variables();
    variable_list leaves;
    for (size_t i = 0; i < saved.size(); ++i)
      leaves.push_back(
          saved[i].to(call.inputs[i].device).detach().requires_grad_(call.inputs[i].requires_grad));

    const nn::NestedBackward nested;
    const at::AutoGradMode record(true);
    const variable_list outputs = call.surroundings.compute_within(call.compute, leaves);
    variable_list roots, incoming;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!gradients[i].defined() || !outputs[i].requires_grad()) continue;
      roots.push_back(outputs[i]);
      incoming.push_back(gradients[i]);
    }
    if (!roots.empty()) torch::autograd::backward(roots, incoming);
    variable_list out{at::Tensor(), at::Tensor()};  // of the call and of the anchor
    for (const auto& leaf : leaves) out.push_back(leaf.requires_grad() ? leaf.grad() : at::Tensor());
    timed.end();
    return out;
  }
};

class Recompute : public nn::ForwardRunner {
 public:
  explicit Recompute(Options options) : options_(std::move(options)) {}
  variable_list run(const Compute& compute, const variable_list& inputs) override {
    return checkpoint(compute, inputs, options_);
  }

 private:
  Options options_;
};

bool holds_layers(const torch::nn::Module& module) {
  return dynamic_cast<const torch::nn::ModuleListImpl*>(&module) != nullptr ||
         dynamic_cast<const torch::nn::SequentialImpl*>(&module) != nullptr;
}

void collect_layers(const torch::nn::Module& module, std::set<const torch::nn::Module*>& layers) {
  for (const auto& child : module.children())
    if (holds_layers(module))
      layers.insert(child.get());
    else
      collect_layers(*child, layers);
}

}  // namespace

variable_list checkpoint(const nn::ForwardRunner::Compute& compute, const variable_list& inputs,
                         const Options& options) {
  if (!at::GradMode::is_enabled()) return compute(inputs);
  const at::Tensor anchor = at::empty({0}).requires_grad_(true);
  return Checkpointed::apply(c10::make_intrusive<Call>(compute, options), anchor, at::TensorList(inputs));
}

Selection layers_of(torch::nn::Module& model) {
  std::set<const torch::nn::Module*> layers;
  collect_layers(model, layers);
  return [layers](const std::string&, nn::Block& block) { return layers.contains(&block.as_module()); };
}

size_t recompute_blocks(torch::nn::Module& model, const Selection& selection, const Options& options) {
  const auto runner = std::make_shared<Recompute>(options);
  size_t count = 0;
  for (const auto& [name, block] : nn::blocks_of(model)) {
    if (!selection(name, *block)) continue;
    block->set_runner(runner);
    ++count;
  }
  return count;
}

}  // namespace deepspeed::recompute
