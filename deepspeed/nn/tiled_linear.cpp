#include "deepspeed/nn/tiled_linear.h"

#include <ATen/ops/cat.h>
#include <torch/csrc/autograd/grad_mode.h>
#include <torch/nn/modules/container/modulelist.h>

#include <algorithm>

#include "deepspeed/base/error.h"

namespace deepspeed::nn {

std::vector<TiledLinear::Range> TiledLinear::split(const char* what, int64_t features, int64_t splits) {
  DS_CHECK(splits >= 1 && splits <= features, "a tiled linear layer: {} must lie in [1, {}], got {}", what,
           features, splits);
  std::vector<Range> ranges;
  for (int64_t i = 0, begin = 0; i < splits; ++i) {
    const int64_t count = features / splits + (i < features % splits);
    ranges.push_back({begin, count});
    begin += count;
  }
  return ranges;
}

TiledLinear::TiledLinear(const TiledLinearOptions& options)
    : order_(options.linear.order),
      in_(split("in_splits", options.linear.in_features, options.in_splits)),
      out_(split("out_splits", options.linear.out_features, options.out_splits)) {
  auto rows = register_module("linears", std::make_shared<torch::nn::ModuleListImpl>());
  for (const Range& out : out_) {
    auto row = std::make_shared<torch::nn::ModuleListImpl>();
    rows->push_back(row);
    tiles_.emplace_back();
    for (size_t i = 0; i < in_.size(); ++i) {
      DenseOptions tile = options.linear;
      tile.in_features = in_[i].count;
      tile.out_features = out.count;
      tile.bias = options.linear.bias && i + 1 == in_.size();
      tiles_.back().push_back(std::make_shared<Linear>(tile));
      row->push_back(tiles_.back().back());
    }
  }
}

at::Tensor TiledLinear::compute(const at::Tensor& x) {
  std::vector<at::Tensor> inputs, outputs;
  for (const Range& in : in_) inputs.push_back(in_.size() == 1 ? x : x.narrow(-1, in.begin, in.count));
  for (const auto& row : tiles_) {
    at::Tensor sum = row[0]->forward(inputs[0]);
    for (size_t i = 1; i < row.size(); ++i) sum = sum + row[i]->forward(inputs[i]);
    outputs.push_back(std::move(sum));
  }
  return outputs.size() == 1 ? outputs[0] : at::cat(outputs, -1);
}

void TiledLinear::copy_from(const at::Tensor& weight, const at::Tensor& bias) {
  at::NoGradGuard no_grad;
  const int out_dim = order_ == WeightOrder::kOutIn ? 0 : 1;
  for (size_t o = 0; o < out_.size(); ++o)
    for (size_t i = 0; i < in_.size(); ++i) {
      auto parameters = tiles_[o][i]->named_parameters();
      at::Tensor own = parameters["weight"];
      own.copy_(weight.narrow(out_dim, out_[o].begin, out_[o].count)
                    .narrow(1 - out_dim, in_[i].begin, in_[i].count));
      if (parameters.contains("bias")) {
        DS_CHECK(bias.defined(), "a tiled linear layer with a bias is given none");
        parameters["bias"].copy_(bias.narrow(0, out_[o].begin, out_[o].count));
      }
    }
}

}  // namespace deepspeed::nn
