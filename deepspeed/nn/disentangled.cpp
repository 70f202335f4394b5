#include "deepspeed/nn/disentangled.h"

#include <ATen/ATen.h>

#include <vector>

#include "deepspeed/base/error.h"

namespace deepspeed::nn {
namespace {

at::Tensor in_buckets(const at::Tensor& distance, const DistanceTable& table) {
  const int64_t middle = table.span / 2;
  const at::Tensor near = at::logical_and(distance<middle, distance> - middle);
  const at::Tensor far = at::where(near, at::scalar_tensor(middle - 1, distance.options()), distance.abs());
  const at::Tensor octaves = at::log(at::scalar_tensor(
      static_cast<double>(table.max_distance - 1) / static_cast<double>(middle), at::kFloat));
  const at::Tensor wide = at::ceil(at::log(far / middle) / octaves * (middle - 1)) + middle;
  return at::where(far <= middle, distance.to(at::kFloat), wide * distance.sign()).to(at::kLong);
}

// Scores of `states` [B, H, T, D] with every row of a table [2 * span, H, D]: [B, H, T, 2 * span].
at::Tensor with_every_row(const at::Tensor& states, const at::Tensor& table) {
  return at::matmul(states, table.permute({1, 2, 0}));
}

}  // namespace

at::Tensor distance_rows(int64_t length, const DistanceTable& table) {
  DS_CHECK(table.span > 0 && (!table.buckets || (table.span >= 4 && table.max_distance > table.span / 2 + 1)),
           "disentangled attention: a table for distances up to {} in {} rows each way is not possible",
           table.max_distance, table.span);
  const at::Tensor position = at::arange(length, at::kLong);
  at::Tensor distance = position.unsqueeze(1) - position.unsqueeze(0);
  if (table.buckets) distance = in_buckets(distance, table);
  return (distance + table.span).clamp(0, 2 * table.span - 1);
}

at::Tensor disentangled_scores(const at::Tensor& q, const at::Tensor& k, const ProjectedDistances& d) {
  const std::vector<int64_t> shape = {q.size(0), q.size(1), q.size(2), k.size(2)};
  at::Tensor scores;
  if (d.keys.defined()) scores = with_every_row(q, d.keys).gather(-1, d.rows.expand(shape));
  if (d.queries.defined()) {
    const at::Tensor of_keys =
        with_every_row(k, d.queries).gather(-1, d.rows.t().expand(shape)).transpose(2, 3);
    scores = scores.defined() ? scores + of_keys : of_keys;
  }
  return scores;
}

at::Tensor is_padding(const at::Tensor& ends, int64_t length) {
  const at::Tensor position = at::arange(length, at::TensorOptions(at::kLong).device(ends.device()));
  return position.unsqueeze(0) >= ends.unsqueeze(1);
}

at::Tensor with_blind_padding(const at::Tensor& mixed, const at::Tensor& values, const at::Tensor& ends) {
  const at::Tensor padding = is_padding(ends, mixed.size(2)).unsqueeze(1).unsqueeze(3).to(mixed.device());
  return at::where(padding, values.mean(/*dim=*/2, /*keepdim=*/true), mixed);
}

}  // namespace deepspeed::nn
