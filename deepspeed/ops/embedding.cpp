#include "deepspeed/ops/embedding.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/kernels.h"
#include "deepspeed/ops/pending_gradient.h"

namespace deepspeed::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const at::Tensor& weight, const at::Tensor& ids) {
  DS_CHECK(weight.dim() == 2, "embedding: the table must be a [V, C] tensor");
  DS_CHECK(ids.scalar_type() == at::kLong, "embedding: ids must be int64");
  DS_CHECK(ids.device() == weight.device(), "embedding: the table is on {}, ids are on {}",
           weight.device().str(), ids.device().str());
  if (!ids.is_cpu()) return;  // the host would wait for them; ATen's kernel asserts
  const at::Tensor all = ids.contiguous();
  const auto* begin = all.const_data_ptr<int64_t>();
  const auto* outside =
      std::find_if(begin, begin + all.numel(), [&](int64_t id) { return id < 0 || id >= weight.size(0); });
  DS_CHECK(outside == begin + all.numel(), "embedding: id {} at position {} is outside the table of {} rows",
           *outside, outside - begin, weight.size(0));
}

// The looked-up rows, each once, and in which of them the gradient of each lookup belongs; lookups of the
// padding belong in none.
struct Rows {
  std::vector<int64_t> ids;      // rising
  std::vector<int64_t> lookups;  // places in the list of ids that count
  std::vector<int64_t> slots;    // of each of those, the place in `ids`
};

Rows rows_of(const at::Tensor& ids, int64_t padding) {
  Rows rows;
  const auto* values = ids.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < ids.numel(); ++i)
    if (values[i] != padding) rows.lookups.push_back(i);
  for (const int64_t i : rows.lookups) rows.ids.push_back(values[i]);
  std::sort(rows.ids.begin(), rows.ids.end());
  rows.ids.erase(std::unique(rows.ids.begin(), rows.ids.end()), rows.ids.end());
  for (const int64_t i : rows.lookups)
    rows.slots.push_back(std::lower_bound(rows.ids.begin(), rows.ids.end(), values[i]) - rows.ids.begin());
  return rows;
}

struct RowEmbedding : torch::autograd::Function<RowEmbedding> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& weight, const at::Tensor& ids,
                            int64_t padding) {
    context->save_for_backward({ids});
    context->saved_data["padding"] = padding;
    context->saved_data["sizes"] = weight.sizes().vec();
    context->saved_data["leaf"] = leaf_identity(weight);
    return at::embedding(weight, ids);
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    refuse_second_derivative("embedding");
    const at::Tensor ids = context->get_saved_variables()[0].contiguous();
    const auto sizes = context->saved_data["sizes"].toIntVector();
    const Rows rows = rows_of(ids, context->saved_data["padding"].toInt());
    const at::Tensor gradient = upstream[0].reshape({-1, sizes[1]});
    const bool all = rows.lookups.size() == static_cast<size_t>(ids.numel());
    const auto count = static_cast<int64_t>(rows.ids.size());
    const at::Tensor counted = all ? gradient : gradient.index_select(0, at::tensor(rows.lookups));
    at::Tensor values = at::zeros({count, sizes[1]}, gradient.options().dtype(at::kFloat));
    values.index_add_(0, at::tensor(rows.slots), counted.to(at::kFloat));
    values = values.to(gradient.scalar_type());
    const at::Tensor indices = at::tensor(rows.ids, at::kLong);
    at::Tensor table = pending_gradient(context->saved_data["leaf"].toInt());
    if (context->needs_input_grad(0) && table.defined() && table.scalar_type() == values.scalar_type() &&
        table.sizes().equals(sizes)) {
      table.index_add_(0, indices, values);
      return {at::Tensor(), at::Tensor(), at::Tensor()};
    }
    return {at::_sparse_coo_tensor_unsafe(indices.view({1, count}), values, sizes, gradient.options(),
                                          /*is_coalesced=*/true),
            at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor embedding(const at::Tensor& weight, const at::Tensor& ids, int64_t padding,
                     TableGradient gradient) {
  check(weight, ids);
  if (weight.is_cpu() && gradient == TableGradient::kRows && wants_grad({weight}))
    return RowEmbedding::apply(weight, ids, padding);
  return at::embedding(weight, ids, padding);
}

}  // namespace deepspeed::ops
