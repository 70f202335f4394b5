#include "deepspeed/ops/pending_gradient.h"

#include <torch/csrc/autograd/graph_task.h>

#include <optional>

namespace deepspeed::ops {
namespace {

using WeakImpl = c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;

struct Announced {
  int64_t leaf = 0;
  int backward = -1;
  std::optional<WeakImpl> gradient;
};

// One is enough: models have one tied table.
thread_local Announced last;

}  // namespace

int64_t leaf_identity(const at::Tensor& t) {
  return t.is_leaf() ? reinterpret_cast<int64_t>(t.unsafeGetTensorImpl()) : 0;
}

void announce_gradient(int64_t leaf, const at::Tensor& gradient) {
  last = {leaf, torch::autograd::get_current_graph_task_id(), WeakImpl(gradient.getIntrusivePtr())};
}

at::Tensor pending_gradient(int64_t leaf) {
  const bool of_this_backward = leaf != 0 && last.leaf == leaf && last.gradient && last.backward >= 0 &&
                                last.backward == torch::autograd::get_current_graph_task_id();
  if (!of_this_backward || last.gradient->use_count() != 1) return {};
  at::Tensor gradient(last.gradient->lock());
  // The tensor that is held is ours and autograd's; its memory must be the tensor's alone.
  return gradient.defined() && gradient.storage().use_count() == 1 ? gradient : at::Tensor();
}

}  // namespace deepspeed::ops
