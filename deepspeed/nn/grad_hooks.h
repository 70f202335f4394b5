// Listeners on "this parameter's gradient has been accumulated". libtorch keeps one such hook a tensor and a
// second registration silently replaces the first, so this dispatcher owns it and everything of ours
// subscribes here.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>

namespace deepspeed::nn {

using GradListener = std::function<void(const at::Tensor& parameter)>;

/// Keeps a subscription alive; the listener is removed with it.
using GradSubscription = std::shared_ptr<void>;

/// Calls `listener` on the thread that runs backward, each time the gradient of leaf `parameter` has been
/// accumulated into parameter.grad(). Several listeners are called in the order of subscription. Error when
/// the tensor already carries a post-accumulate hook that is not ours.
[[nodiscard]] GradSubscription on_gradient(const at::Tensor& parameter, GradListener listener);

}  // namespace deepspeed::nn
