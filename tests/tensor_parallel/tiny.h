// The tiny models of tests/parity and what transformers gives for them.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>

#include "deepspeed/models/decoder.h"
#include "deepspeed/models/encoder_heads.h"
#include "deepspeed/models/weights.h"
#include "deepspeed/tensor_parallel/shard.h"
#include "tests/tensor_parallel/families.h"

namespace deepspeed::tensor_parallel {

inline at::Tensor tensor_of(const formats::SafetensorsFile& file, const std::string& name) {
  const auto* info = file.find(name);
  EXPECT_NE(info, nullptr) << name;
  at::Tensor t = at::empty(info->shape, info->dtype == formats::Dtype::kI64 ? at::kLong : at::kFloat);
  const auto bytes = file.data(*info);
  std::memcpy(t.data_ptr(), bytes.data(), bytes.size());
  return t;
}
inline formats::SafetensorsFile golden(const std::string& name) {
  return formats::SafetensorsFile(kGoldens / "logits" / (name + ".safetensors"));
}

inline models::WeightSource weights_of(const std::string& family, const models::ArchSpec& spec) {
  return {formats::ModelFiles::open(folder_of(family)), spec};
}

/// On one rank.
template <class Model = models::Decoder>
std::shared_ptr<Model> whole_model(const std::string& family) {
  const auto spec = spec_of(family);
  auto model = std::make_shared<Model>(spec, std::make_shared<accel::Rng>(1));
  nn::DenseMaterializer().materialize(nn::list_parameters(*model), weights_of(family, spec));
  model->eval();
  return model;
}

/// This rank's part, its weights checked.
template <class Model = models::Decoder>
std::shared_ptr<Model> sharded_model(const std::string& family, const comm::GroupPtr& group,
                                     const Options& options = {}) {
  const auto spec = spec_of(family);
  auto model = std::make_shared<Model>(spec, std::make_shared<accel::Rng>(1));
  const auto weights = weights_of(family, spec);
  const Sharding sharding = load(*model, spec, weights, group, options);
  weights.check(sharding.whole(nn::list_parameters(*model)));
  model->eval();
  return model;
}

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

}  // namespace deepspeed::tensor_parallel
