#include "deepspeed/nn/grad_hooks.h"

#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <vector>

#include "deepspeed/base/error.h"

namespace deepspeed::nn {
namespace {

class Dispatcher : public torch::autograd::PostAccumulateGradHook {
 public:
  void operator()(const at::Tensor& parameter) override {
    // A listener may drop its own or another subscription while we iterate.
    const auto listeners = listeners_;
    for (const auto& weak : listeners)
      if (auto listener = weak.lock()) (*listener)(parameter);
    std::erase_if(listeners_, [](const auto& weak) { return weak.expired(); });
  }

  void add(const std::shared_ptr<GradListener>& listener) { listeners_.push_back(listener); }

 private:
  std::vector<std::weak_ptr<GradListener>> listeners_;
};

// A CPU backward runs on the thread that asked for it, nested ones included.
thread_local NestedBackward* innermost = nullptr;

}  // namespace

GradSubscription on_gradient(const at::Tensor& parameter, GradListener listener) {
  DS_CHECK(parameter.defined() && parameter.is_leaf() && parameter.requires_grad(),
           "gradient listeners can only be put on leaf tensors that require a gradient");
  auto& installed = torch::autograd::impl::post_acc_grad_hooks(parameter);
  auto* dispatcher = dynamic_cast<Dispatcher*>(installed.get());
  DS_CHECK(installed == nullptr || dispatcher != nullptr,
           "a parameter already has a post-accumulate-grad hook of another library, which would be lost");
  if (dispatcher == nullptr) {
    auto made = std::make_unique<Dispatcher>();
    dispatcher = made.get();
    torch::autograd::impl::set_post_acc_grad_hooks(parameter, std::move(made));
  }
  auto kept = std::make_shared<GradListener>(std::move(listener));
  dispatcher->add(kept);
  return kept;
}

void after_backward(std::function<void()> callback) {
  if (innermost != nullptr)
    innermost->callbacks_.push_back(std::move(callback));
  else
    torch::autograd::Engine::get_default_engine().queue_callback(std::move(callback));
}

NestedBackward::NestedBackward() : outer_(innermost) { innermost = this; }

NestedBackward::~NestedBackward() {
  innermost = outer_;
  for (auto& callback : callbacks_) after_backward(std::move(callback));
}

}  // namespace deepspeed::nn
