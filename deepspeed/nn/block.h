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

class Block {
 public:
  virtual ~Block() = default;

  /// The module this Block is; gives access to names and parameters.
  virtual torch::nn::Module& as_module() = 0;

  /// Observers are called in the order they were added; `before_*` of the first one first, `after_*`
  /// likewise.
  void add_observer(std::shared_ptr<BlockObserver> observer);
  void remove_observer(const BlockObserver* observer);

  /// How each parameter that this Block declared is initialised, by its name in the Block.
  const std::vector<std::pair<std::string, Init>>& inits() const { return inits_; }

 protected:
  /// Makes an unmaterialized parameter: it has its shape and dtype but no memory yet (see nn/materializer.h),
  /// and remembers its initialisation rule.
  at::Tensor declare_parameter(const std::string& name, at::IntArrayRef shape, Init init);
  /// Forgets a declared parameter (a projection is being replaced).
  void forget_parameter(const std::string& name);

  /// Runs `compute(args...)` between the observers. Without observers this is a plain call.
  template <class Compute, class... Args>
  auto run(Compute&& compute, Args&&... args);

 private:
  class Use;
  using TensorRefs = std::vector<at::Tensor*>;

  std::shared_ptr<Use> begin_use(const TensorRefs& inputs);
  void end_use(const std::shared_ptr<Use>& use, const TensorRefs& outputs);

  std::vector<std::shared_ptr<BlockObserver>> observers_;
  std::vector<std::pair<std::string, Init>> inits_;
};

template <class Compute, class... Args>
auto Block::run(Compute&& compute, Args&&... args) {
  if (observers_.empty()) return compute(std::forward<Args>(args)...);
  std::tuple<std::decay_t<Args>...> inputs(std::forward<Args>(args)...);
  TensorRefs refs;
  visit_tensors(inputs, [&](at::Tensor& tensor) { refs.push_back(&tensor); });
  auto use = begin_use(refs);
  auto result = std::apply(compute, inputs);
  refs.clear();
  visit_tensors(result, [&](at::Tensor& tensor) { refs.push_back(&tensor); });
  end_use(use, refs);
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
