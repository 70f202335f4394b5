#include "deepspeed/engine/held_out.h"

#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "deepspeed/base/error.h"

namespace deepspeed::engine {

at::Tensor causal_loss(models::Decoder& model, const std::vector<at::Tensor>& batch) {
  DS_CHECK(batch.size() == 1 || batch.size() == 3,
           "a causal language model learns from ids, or ids, labels and document starts, not from {} tensors",
           batch.size());
  if (batch.size() == 1) return model.forward(batch[0], batch[0]);
  return model.forward(batch[0], batch[1], std::optional<at::Tensor>(batch[2]));
}

double held_out_loss(models::Decoder& model, const data::Dataset& held_out, comm::Group& group,
                     int64_t micro_batch) {
  at::NoGradGuard no_grad;
  model.eval();
  double loss = 0, predictions = 0;
  std::vector<int64_t> samples;
  for (int64_t i = group.rank(); i < held_out.size(); i += group.size()) {
    samples.push_back(i);
    const bool last = i + group.size() >= held_out.size();
    if (!last && static_cast<int64_t>(samples.size()) < micro_batch) continue;
    const auto batch = data::collate(held_out, samples);
    const at::Tensor& labels = batch[batch.size() == 1 ? 0 : 1];
    const auto count = labels.narrow(1, 1, labels.size(1) - 1).ge(0).sum().item<int64_t>();
    loss += causal_loss(model, batch).item<double>() * static_cast<double>(count);
    predictions += static_cast<double>(count);
    samples.clear();
  }
  model.train();
  at::Tensor sums = at::zeros({2}, at::kDouble);
  sums[0] = loss;
  sums[1] = predictions;
  group.all_reduce(sums);
  return (sums[0] / sums[1]).item<double>();
}

}  // namespace deepspeed::engine
