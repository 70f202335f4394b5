#include "deepspeed/nn/relative_bias.h"

#include <ATen/ATen.h>

#include <cmath>

#include "deepspeed/base/error.h"

namespace deepspeed::nn {

at::Tensor relative_buckets(const at::Tensor& distances, const RelativeBiasConfig& c) {
  const int64_t count = c.both_ways ? c.buckets / 2 : c.buckets, exact = count / 2;
  const at::Tensor far = c.both_ways ? distances.abs() : distances.clamp_max(0).neg();
  const double octaves = std::log(static_cast<double>(c.max_distance) / static_cast<double>(exact));
  const at::Tensor wide =
      (at::log(far.to(at::kFloat) / exact) / octaves * (count - exact)).to(at::kLong) + exact;
  const at::Tensor bucket = at::where(far < exact, far, wide.clamp_max(count - 1));
  return c.both_ways ? bucket + distances.gt(0).to(at::kLong) * count : bucket;
}

RelativeBias::RelativeBias(const RelativeBiasConfig& config) : config_(config) {
  const int64_t each_way = config.both_ways ? config.buckets / 2 : config.buckets;
  DS_CHECK(
      each_way >= 2 && config.buckets % (config.both_ways ? 2 : 1) == 0 && config.max_distance > each_way / 2,
      "relative positions: {} buckets up to a distance of {}; want two each way at least, and a distance "
      "beyond those that have one each",
      config.buckets, config.max_distance);
  weight_ = declare_parameter("weight", {config.buckets, config.heads}, config.init);
}

at::Tensor RelativeBias::compute(int64_t queries, int64_t keys) {
  const auto whole = at::TensorOptions(at::kLong).device(weight_.device());
  const at::Tensor distances =
      at::arange(keys, whole).unsqueeze(0) - at::arange(keys - queries, keys, whole).unsqueeze(1);
  const at::Tensor rows = weight_.index_select(0, relative_buckets(distances, config_).view({-1}));
  return rows.view({queries, keys, weight_.size(1)}).permute({2, 0, 1}).unsqueeze(0);
}

}  // namespace deepspeed::nn
