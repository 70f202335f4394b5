// Listeners on "this parameter's gradient has been accumulated". libtorch keeps one such hook a tensor and a
// second registration silently replaces the first, so this dispatcher owns it and everything of ours
// subscribes here.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <vector>

namespace deepspeed::nn {

using GradListener = std::function<void(const at::Tensor& parameter)>;

/// Keeps a subscription alive; the listener is removed with it.
using GradSubscription = std::shared_ptr<void>;

/// Calls `listener` on the thread that runs backward, each time the gradient of leaf `parameter` has been
/// accumulated into parameter.grad(). Several listeners are called in the order of subscription. Error when
/// the tensor already carries a post-accumulate hook that is not ours.
[[nodiscard]] GradSubscription on_gradient(const at::Tensor& parameter, GradListener listener);

/// Calls `callback` on this thread when the backward that runs on it is over: the outermost one, where one
/// runs inside another. base::Error where none runs.
void after_backward(std::function<void()> callback);

/// While it lives, backwards that this thread starts belong to the one that runs already (recomputation).
class NestedBackward {
 public:
  NestedBackward();
  /// Hands the callbacks that have been left to the backward outside.
  ~NestedBackward();
  NestedBackward(const NestedBackward&) = delete;
  NestedBackward& operator=(const NestedBackward&) = delete;

 private:
  friend void after_backward(std::function<void()> callback);
  NestedBackward* outer_;
  std::vector<std::function<void()>> callbacks_;
};

}  // namespace deepspeed::nn
