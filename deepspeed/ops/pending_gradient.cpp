#include "deepspeed/ops/pending_gradient.h"

#include <torch/csrc/autograd/graph_task.h>

#include <optional>

namespace deepspeed::ops {
namespace {

using WeakImpl = c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;

struct Announced {
  const void* leaf = nullptr;
  int backward = -1;
  std::optional<WeakImpl> gradient;
};

// One is enough: models have one tied table.
thread_local Announced last;

}  // namespace

void announce_gradient(const void* leaf, const at::Tensor& gradient) {
  last = {leaf, torch::autograd::get_current_graph_task_id(), WeakImpl(gradient.getIntrusivePtr())};
}

at::Tensor pending_gradient(const void* leaf) {
  const bool of_this_backward = last.leaf == leaf && last.gradient && last.backward >= 0 &&
                                last.backward == torch::autograd::get_current_graph_task_id();
  if (!of_this_backward || last.gradient->use_count() != 1) return {};
  at::Tensor gradient(last.gradient->lock());
  // The tensor that is held is ours and autograd's; its memory must be the tensor's alone.
  return gradient.defined() && gradient.storage().use_count() == 1 ? gradient : at::Tensor();
}

}  // namespace deepspeed::ops
