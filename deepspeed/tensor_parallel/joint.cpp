#include "deepspeed/tensor_parallel/joint.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/variable.h>

#include <functional>
#include <numeric>

namespace deepspeed::tensor_parallel {
namespace {

using torch::autograd::variable_list;
using Backward = std::function<at::Tensor(const at::Tensor& gradient)>;

// The group stays with the graph: a backward may come after everything else is gone.
struct JointNode : torch::autograd::Node {
  Backward backward;
  variable_list apply(variable_list&& gradients) override {
    if (!gradients[0].defined()) return {at::Tensor()};
    const at::NoGradGuard no_grad;
    return {backward(gradients[0])};
  }
  std::string name() const override { return "TensorParallel"; }
};

bool records(const at::Tensor& x) { return at::GradMode::is_enabled() && x.requires_grad(); }

// `result`, which no graph knows, as a function of x.
at::Tensor with_backward(const at::Tensor& result, const at::Tensor& x, Backward backward) {
  auto node = std::make_shared<JointNode>();
  node->backward = std::move(backward);
  node->set_next_edges(torch::autograd::collect_next_edges(x));
  at::Tensor out = result.detach();
  torch::autograd::set_history(out, node);
  return out;
}

at::Tensor summed_copy(const at::Tensor& x, comm::Group& group) {
  const at::Tensor copy = x.detach().clone(at::MemoryFormat::Contiguous);
  group.all_reduce(copy);
  return copy;
}

at::Tensor concatenated(const at::Tensor& part, const std::vector<int64_t>& sizes, comm::Group& group) {
  std::vector<at::Tensor> parts;
  for (const int64_t size : sizes) {
    std::vector<int64_t> shape = part.sizes().vec();
    shape.back() = size;
    parts.push_back(at::empty(shape, part.options().requires_grad(false)));
  }
  group.all_gather(parts, part.detach().contiguous());
  return at::cat(parts, -1);
}

}  // namespace

at::Tensor enter(const at::Tensor& x, const comm::GroupPtr& group) {
  if (!records(x)) return x;
  return with_backward(x, x, [group](const at::Tensor& gradient) { return summed_copy(gradient, *group); });
}

at::Tensor sum(const at::Tensor& part, const comm::GroupPtr& group) {
  if (records(part))
    return with_backward(summed_copy(part, *group), part,
                         [](const at::Tensor& gradient) { return gradient; });
  at::Tensor whole = part.contiguous();
  group->all_reduce(whole);
  return whole;
}

at::Tensor concatenate(const at::Tensor& part, const std::vector<int64_t>& sizes,
                       const comm::GroupPtr& group) {
  const at::Tensor whole = concatenated(part, sizes, *group);
  if (!records(part)) return whole;
  const auto mine = sizes.begin() + group->rank();
  const int64_t begin = std::accumulate(sizes.begin(), mine, int64_t{0}), count = *mine;
  return with_backward(
      whole, part, [begin, count](const at::Tensor& gradient) { return gradient.narrow(-1, begin, count); });
}

at::Tensor sum_copies(const at::Tensor& gradient, const Slice& slice, size_t first,
                      const comm::GroupPtr& group) {
  const auto dim = static_cast<int64_t>(*slice.dim);
  const at::Tensor all = at::zeros(slice.whole, gradient.options()), out = gradient.clone();
  const auto each_copy = [&](const auto& visit) {
    int64_t begin = 0;
    for (size_t i = 0; i < slice.ranges.size(); ++i) {
      const Range& range = slice.ranges[i];
      if (i >= first) visit(out.narrow(dim, begin, range.count), all.narrow(dim, range.begin, range.count));
      begin += range.count;
    }
  };
  each_copy([](const at::Tensor& mine, const at::Tensor& place) { place.copy_(mine); });
  group->all_reduce(all);
  each_copy([](const at::Tensor& mine, const at::Tensor& place) { mine.copy_(place); });
  return out;
}

}  // namespace deepspeed::tensor_parallel
