#include "deepspeed/tensor_parallel/self_check.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <map>
#include <optional>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/group_state.h"
#include "deepspeed/nn/block.h"

namespace deepspeed::tensor_parallel {
namespace {

// The first tensor that a Block gave, at every call of every watched Block in turn.
struct Trace {
  struct Step {
    std::string block;
    at::Tensor result;
  };
  std::vector<Step> steps;
};

// Runs a Block as it would run and notes what it gives. A runner is asked only where gradients are recorded;
// within it none are.
class Watcher : public nn::ForwardRunner {
 public:
  Watcher(std::string name, Trace& trace) : name_(std::move(name)), trace_(trace) {}
  std::vector<at::Tensor> run(const Compute& compute, const std::vector<at::Tensor>& inputs) override {
    const at::NoGradGuard no_grad;
    auto outputs = compute(inputs);
    if (!outputs.empty()) trace_.steps.push_back({name_, outputs[0].detach().clone()});
    return outputs;
  }

 private:
  std::string name_;
  Trace& trace_;
};

// Reads what a Block computes with before it runs, and lets it go after.
class Streamer : public nn::BlockObserver {
 public:
  Streamer(std::vector<nn::ParameterSpec> parameters, const nn::ParameterSource& source)
      : parameters_(std::move(parameters)), source_(source) {}
  void before_forward(nn::Block&) override { nn::DenseMaterializer().materialize(parameters_, source_); }
  void after_forward(nn::Block&) override {
    for (const nn::ParameterSpec& parameter : parameters_) {
      at::Tensor empty = at::empty({0}, parameter.dtype), tensor = parameter.tensor;
      empty.unsafeGetTensorImpl()->set_sizes_contiguous(parameter.shape);
      tensor.set_data(empty);
    }
  }

 private:
  std::vector<nn::ParameterSpec> parameters_;
  const nn::ParameterSource& source_;
};

// Blocks that give the same on every rank: what a list of layers holds, and what stands beside it.
bool is_watched(const std::string& name) {
  const size_t layers = name.find("layers.");
  if (layers != std::string::npos) return name.find('.', layers + 7) == std::string::npos;
  return name.ends_with("embedding") || name.ends_with("embedding_norm") || name == "norm";
}

// Watches a model's Blocks while it lives, and keeps parameters from recording gradients: runners are asked
// as if they did.
class Watch {
 public:
  Watch(torch::nn::Module& model, Trace& trace) : model_(model) {
    for (const auto& [name, block] : nn::blocks_of(model)) {
      if (!is_watched(name)) continue;
      runners_.emplace_back(block, block->runner());
      block->set_runner(std::make_shared<Watcher>(name, trace));
    }
    for (at::Tensor parameter : model.parameters()) {
      wanted_.push_back(parameter.requires_grad());
      parameter.requires_grad_(false);
    }
  }
  ~Watch() {
    for (auto& [block, runner] : runners_) block->set_runner(runner);
    const auto parameters = model_.parameters();
    for (size_t i = 0; i < wanted_.size(); ++i) at::Tensor(parameters[i]).requires_grad_(wanted_[i]);
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  torch::nn::Module& model_;
  std::vector<std::pair<nn::Block*, std::shared_ptr<nn::ForwardRunner>>> runners_;
  std::vector<bool> wanted_;
};

Trace watched_run(torch::nn::Module& model, const SelfCheck& check) {
  Trace trace;
  const Watch watch(model, trace);
  model.eval();
  const at::AutoGradMode with_runners(true);
  trace.steps.push_back({"the result", check.run(model).detach()});
  return trace;
}

// What a model is held as, those of its weights that are packed included.
at::ScalarType type_of(const std::vector<nn::ParameterSpec>& held) {
  return held.empty() ? at::kFloat : held.front().dtype;
}

// The whole model's Blocks read what they compute with when they run.
void stream(torch::nn::Module& whole, torch::nn::Module& sharded, const nn::ParameterSource& source) {
  std::map<std::string, at::ScalarType> types;
  const auto held = nn::list_parameters(sharded);
  for (const auto& parameter : held) types[parameter.name] = parameter.dtype;
  std::map<const void*, nn::ParameterSpec> specs;
  for (nn::ParameterSpec& parameter : nn::list_parameters(whole)) {
    const auto counterpart = types.find(parameter.name);
    parameter.dtype = counterpart == types.end() ? type_of(held) : counterpart->second;
    specs[parameter.tensor.unsafeGetTensorImpl()] = parameter;
  }
  for (const auto& [name, block] : nn::blocks_of(whole)) {
    std::vector<nn::ParameterSpec> used;
    for (const at::Tensor& own : block->as_module().parameters(/*recurse=*/false))
      used.push_back(specs.at(own.unsafeGetTensorImpl()));
    for (const at::Tensor& other : block->used_parameters())
      used.push_back(specs.at(other.unsafeGetTensorImpl()));
    if (!used.empty()) block->add_observer(std::make_shared<Streamer>(std::move(used), source));
  }
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  const double largest = b.abs().max().item<double>(),
               difference = (a.to(at::kFloat) - b.to(at::kFloat)).abs().max().item<double>();
  return largest > 0 ? difference / largest : difference;
}

// "" where all is well.
std::string compare(const Trace& parts, const Trace& one, double tolerance, double& difference) {
  difference = relative_difference(parts.steps.back().result, one.steps.back().result);
  if (difference <= tolerance) return "";
  for (size_t i = 0; i < std::min(parts.steps.size(), one.steps.size()); ++i) {
    const double here = relative_difference(parts.steps[i].result, one.steps[i].result);
    if (here <= tolerance) continue;
    return fmt::format(
        "differs from one rank by {:.2g} of the largest value ({:.2g} is allowed), first in {}", difference,
        tolerance, one.steps[i].block);
  }
  return "differs from one rank";
}

}  // namespace

double check_against_one_rank(torch::nn::Module& sharded, torch::nn::Module& whole,
                              const nn::ParameterSource& source, comm::Group& group, const SelfCheck& check) {
  const Trace parts = watched_run(sharded, check);
  std::string problem;
  double difference = 0;
  if (group.rank() == 0) {
    try {
      stream(whole, sharded, source);
      const bool fp32 = type_of(nn::list_parameters(sharded)) == at::kFloat;
      const double tolerance = check.tolerance > 0 ? check.tolerance : fp32 ? 1e-4 : 5e-2;
      problem = compare(parts, watched_run(whole, check), tolerance, difference);
    } catch (const std::exception&) {
      problem =
          fmt::format("could not be compared with one rank: {}", comm::reason_of(std::current_exception()));
    }
  }
  const auto verdict = group.broadcast_object_list({problem, fmt::format("{}", difference)}, 0);
  DS_CHECK(verdict.at(0).empty(), "what {} tensor-parallel ranks compute {}", group.size(), verdict[0]);
  return std::stod(verdict.at(1));
}

}  // namespace deepspeed::tensor_parallel
