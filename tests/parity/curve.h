// A training run step by step, as the goldens of DeepSpeed's runs have it.
#pragma once

#include <ATen/ops/zeros.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <vector>

#include "deepspeed/base/file.h"
#include "deepspeed/engine/initialize.h"

namespace deepspeed::parity {

struct Row {
  double loss, lr;
  std::optional<double> norm;
};

/// Trains `steps` steps; `loss_of(batch)` is a micro-batch's loss. Every rank calls it; the rows are of all
/// ranks together.
template <class LossOf>
std::vector<Row> train_curve(engine::Initialized& ready, comm::Group& group, int steps, LossOf loss_of) {
  std::vector<Row> rows;
  for (int s = 0; s < steps; ++s) {
    at::Tensor mean = at::zeros({1}, at::kDouble);
    for (int64_t g = 0; g < ready.engine->gradient_accumulation_steps(); ++g) {
      const auto batch = ready.loader->next();
      mean += ready.engine->backward(ready.engine->forward([&] { return loss_of(batch); })).to(at::kDouble) /
              group.size();
      ready.engine->step();
    }
    group.all_reduce(mean);
    rows.push_back({mean.item<double>(), ready.engine->get_lr()[0], ready.engine->get_global_grad_norm()});
  }
  return rows;
}

/// The lines of a JSON-lines golden.
inline std::vector<nlohmann::json> json_lines(const std::filesystem::path& file) {
  std::istringstream text(base::read_text_file(file));
  std::vector<nlohmann::json> rows;
  for (std::string line; std::getline(text, line);) rows.push_back(nlohmann::json::parse(line));
  return rows;
}

}  // namespace deepspeed::parity
