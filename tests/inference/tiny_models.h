// The tiny models of tests/parity, loaded.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "deepspeed/models/decoder.h"
#include "deepspeed/models/weights.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::inference {

inline std::filesystem::path tiny_folder(const std::string& family) {
  return std::filesystem::path(DS_SOURCE_DIR) / "tests/parity/goldens/models" / (family + "-sharp");
}

/// In fp32, as transformers was when the goldens were made.
template <class Model = models::Decoder>
std::shared_ptr<Model> tiny_model(const std::string& family) {
  const auto folder = tiny_folder(family);
  const models::ArchSpec spec = models::read_arch_spec(folder / "config.json");
  auto model = std::make_shared<Model>(spec, nullptr);
  const auto parameters = nn::list_parameters(*model);
  const models::WeightSource weights(formats::ModelFiles::open(folder), spec);
  weights.check(parameters);
  nn::DenseMaterializer().materialize(parameters, weights);
  return model;
}

}  // namespace deepspeed::inference
