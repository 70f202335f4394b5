// Block: a module whose forward can be observed. libtorch's modules have no hooks and call forward
// statically, so everything that must happen around a layer (gathering, prefetch, recomputation, profiling,
// streaming) hangs here.
//
// A layer of ours derives from BlockModule<Self> and writes compute(...); callers call forward(...). A user's
// member becomes a Block where it is declared: nn::Blocked<torch::nn::Linear> fc{...} (nn/blocked.h).
#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "deepspeed/nn/init.h"
#include "deepspeed/nn/visit_tensors.h"

namespace deepspeed::nn {

class Block;

/// What can be seen of a Block. All calls come on the thread that runs the forward or backward in question.
///
/// before_forward and after_forward surround every forward. Of the forwards that build a graph ("uses"),
/// before_backward comes before the first gradient enters the Block and after_backward when no more work of
/// that use is left: each exactly once a use and backward, also when no input needs a gradient, when some
/// outputs are unused, when the Block is used several times, and when the forward is itself run inside a
/// backward (recomputation). A use no gradient reaches gets neither.
class BlockObserver {
 public:
  virtual ~BlockObserver() = default;
  virtual void before_forward(Block&) {}
  virtual void after_forward(Block&) {}
  virtual void before_backward(Block&) {}
  virtual void after_backward(Block&) {}
};

/// Runs a Block's forward in another way than by calling it once, as recomputation does. Asked only where
/// gradients are recorded.
class ForwardRunner {
 public:
  /// The Block's own computation, to be called as often as wanted while the Block lives: the defined tensors
  /// of its arguments in, those of its result out, both in the order of visit_tensors. Every other argument
  /// is a copy of what the caller gave: what it points to must live until backward.
  using Compute = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>& inputs)>;

  virtual ~ForwardRunner() = default;
  /// What compute(inputs) gives, differentiable.
  virtual std::vector<at::Tensor> run(const Compute& compute, const std::vector<at::Tensor>& inputs) = 0;
};

/// A layer as PyTorch's modules would hold it.
struct TorchLayer {
  std::string class_name;  // "Linear", as in torch.nn; GPT-2's "Conv1D" as in transformers
  std::vector<at::Tensor> parameters;
};

class Block {
 public:
  virtual ~Block() = default;

  /// The module this Block is; gives access to names and parameters.
  virtual torch::nn::Module& as_module() = 0;

  /// The layers of torch.nn that this Block stands for or computes itself, those of other Blocks inside it
  /// left out: what configurations mean by PyTorch's class names. A head tied to the embedding is a layer of
  /// its own here, over the same parameter.
  virtual std::vector<TorchLayer> torch_layers() const { return {}; }

  /// Observers are called in the order they were added; `before_*` of the first one first, `after_*`
  /// likewise.
  void add_observer(std::shared_ptr<BlockObserver> observer);
  void remove_observer(const BlockObserver* observer);

  /// Who runs this Block's forwards where gradients are recorded; null: they are plain calls.
  void set_runner(std::shared_ptr<ForwardRunner> runner) { runner_ = std::move(runner); }
  const std::shared_ptr<ForwardRunner>& runner() const { return runner_; }

  /// How each parameter that this Block declared is initialised, by its name in the Block.
  const std::vector<std::pair<std::string, Init>>& inits() const { return inits_; }

  /// Parameters that this Block computes with though another one holds them (tied weights).
  const std::vector<at::Tensor>& used_parameters() const { return used_; }

 protected:
  /// Makes an unmaterialized parameter: it has its shape and dtype but no memory yet (see nn/materializer.h),
  /// and remembers its initialisation rule.
  at::Tensor declare_parameter(const std::string& name, at::IntArrayRef shape, Init init);
  /// Forgets a declared parameter (a projection is being replaced).
  void forget_parameter(const std::string& name);
  /// Says that this Block's computation reads `parameter`, which another Block holds: it is then there when
  /// this one runs, wherever parameters live.
  void use_parameter(const at::Tensor& parameter) { used_.push_back(parameter); }
  void forget_used_parameters() { used_.clear(); }

  /// Runs `compute(args...)` between the observers, by the runner. Without any this is a plain call.
  template <class Compute, class... Args>
  auto run(Compute&& compute, Args&&... args);

 private:
  class Use;
  using TensorRefs = std::vector<at::Tensor*>;

  std::shared_ptr<Use> begin_use(const TensorRefs& inputs);
  void end_use(const std::shared_ptr<Use>& use, const TensorRefs& outputs);
  template <class Compute, class Inputs>
  static auto run_by(ForwardRunner& runner, const Compute& compute, const Inputs& inputs);

  std::vector<std::shared_ptr<BlockObserver>> observers_;
  std::shared_ptr<ForwardRunner> runner_;
  std::vector<std::pair<std::string, Init>> inits_;
  std::vector<at::Tensor> used_;
};

template <class Compute, class... Args>
auto Block::run(Compute&& compute, Args&&... args) {
  const auto runner = at::GradMode::is_enabled() ? runner_ : nullptr;
  if (observers_.empty() && !runner) return compute(std::forward<Args>(args)...);
  std::tuple<std::decay_t<Args>...> inputs(std::forward<Args>(args)...);
  TensorRefs refs;
  visit_tensors(inputs, [&](at::Tensor& tensor) { refs.push_back(&tensor); });
  auto use = begin_use(refs);
  auto result = runner ? run_by(*runner, compute, inputs) : std::apply(compute, inputs);
  refs.clear();
  visit_tensors(result, [&](at::Tensor& tensor) { refs.push_back(&tensor); });
  end_use(use, refs);
  return result;
}

template <class Compute, class Inputs>
auto Block::run_by(ForwardRunner& runner, const Compute& compute, const Inputs& inputs) {
  using Result = std::decay_t<decltype(std::apply(compute, std::declval<Inputs&>()))>;
  // The first call leaves here what its result holds beside tensors.
  struct First {
    std::optional<Result> result;
    bool wanted = true;
  };
  auto first = std::make_shared<First>();
  Inputs others = inputs;  // without the tensors: what to keep of those is the runner's business
  const auto tensors = take_tensors(others);
  const auto call = [compute, first, others, filled = tensors.filled](const std::vector<at::Tensor>& with) {
    Inputs arguments = others;
    put_tensors(arguments, {with, filled});
    Result result = std::apply(compute, arguments);
    if (!std::exchange(first->wanted, false)) return take_tensors(result).defined;
    first->result = std::move(result);
    return copy_tensors(*first->result).defined;
  };
  const std::vector<at::Tensor> outputs = runner.run(call, tensors.defined);
  Result result = std::move(*first->result);
  first->result.reset();
  put_tensors(result, {outputs, take_tensors(result).filled});
  return result;
}

/// Base of our own layers: `class Mlp : public BlockModule<Mlp> { public: at::Tensor compute(const
/// at::Tensor& x); };`
template <class Self>
class BlockModule : public torch::nn::Module, public Block {
 public:
  torch::nn::Module& as_module() override { return *this; }

  template <class... Args>
  auto forward(Args&&... args) {
    return run(
        [this](auto&&... x) { return static_cast<Self*>(this)->compute(std::forward<decltype(x)>(x)...); },
        std::forward<Args>(args)...);
  }
  template <class... Args>
  auto operator()(Args&&... args) {
    return forward(std::forward<Args>(args)...);
  }
};

/// All Blocks of a module tree with their dotted names, the root included, in registration order.
std::vector<std::pair<std::string, Block*>> blocks_of(torch::nn::Module& root);

}  // namespace deepspeed::nn
