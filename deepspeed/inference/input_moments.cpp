#include "deepspeed/inference/input_moments.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "deepspeed/base/error.h"
#include "deepspeed/inference/long_text.h"
#include "deepspeed/nn/linear.h"

namespace deepspeed::inference {

// Stands in a Linear for its dense projection, and sums moments while they are wanted.
class InputMoments::Watched : public nn::Projection {
 public:
  Watched(at::Tensor weight, at::Tensor bias, nn::WeightOrder order)
      : weight_(std::move(weight)), bias_(std::move(bias)), order_(order) {}
  std::string kind() const override { return "watched"; }
  std::vector<nn::ProjectionParameter> parameters() const override { return {}; }
  void bind(std::vector<at::Tensor>) override {}
  at::Tensor apply(const at::Tensor& x) const override {
    if (moments_.defined()) {
      const at::Tensor rows = x.reshape({-1, x.size(-1)});
      moments_.addmm_(rows.t(), rows);
    }
    return ops::linear(x, weight_, bias_.defined() ? std::optional(bias_) : std::nullopt, order_);
  }

  int64_t inputs() const { return weight_.size(order_ == nn::WeightOrder::kOutIn ? 1 : 0); }
  int64_t bytes() const { return inputs() * inputs() * 4; }
  void begin() { moments_ = at::zeros({inputs(), inputs()}, at::kFloat); }
  void forget() { moments_ = at::Tensor(); }
  const at::Tensor& moments() const { return moments_; }

 private:
  at::Tensor weight_, bias_, moments_;
  nn::WeightOrder order_;
};

InputMoments::InputMoments(InferenceEngine& engine, const std::vector<int32_t>& ids,
                           const std::vector<std::string>& tensors, const InputMomentsOptions& options)
    : engine_(engine), bytes_(options.bytes) {
  const models::ArchSpec& spec = engine.spec();
  models::Decoder& model = engine.decoder();
  const int64_t window = std::min<int64_t>(options.window, spec.max_positions);
  const int64_t count = std::min<int64_t>(options.windows, static_cast<int64_t>(ids.size()) / window);
  DS_CHECK(count > 0, "{} tokens to calibrate with are fewer than a window of {}", ids.size(), window);
  check_tokens(engine, ids);
  windows_ = at::tensor(at::ArrayRef(ids.data(), static_cast<size_t>(count * window)), at::kLong)
                 .view({count, window});
  if (const int32_t first = token_of_beginning(engine); first >= 0) windows_.select(1, 0).fill_(first);

  std::map<std::string, Watched*> by_full_name;
  for (const auto& [name, block] : nn::blocks_of(model)) {
    auto* linear = dynamic_cast<nn::Linear*>(block);
    if (linear == nullptr) continue;
    DS_CHECK(linear->projection().kind() == "dense", "'{}' cannot be calibrated: it is {}, not dense", name,
             linear->projection().kind());
    const auto parameters = linear->named_parameters(/*recurse=*/false);
    const at::Tensor* bias = parameters.find("bias");
    const auto order =
        linear->projection().torch_class() == "Conv1D" ? nn::WeightOrder::kInOut : nn::WeightOrder::kOutIn;
    auto watched =
        std::make_unique<Watched>(parameters["weight"].detach(), bias ? bias->detach() : at::Tensor(), order);
    by_full_name.emplace(spec.hugging_face_name(name + ".weight"), watched.get());
    linear->set_projection(std::move(watched));
  }
  for (const std::string& tensor : tensors) {
    auto found = by_full_name.find(tensor);
    if (found == by_full_name.end()) found = by_full_name.find(spec.name_prefix + tensor);
    if (found == by_full_name.end()) continue;
    order_.push_back(tensor);
    watched_.emplace(tensor, found->second);
  }
}

at::Tensor InputMoments::of(const std::string& tensor) {
  const auto found = watched_.find(tensor);
  if (found == watched_.end()) return {};
  if (!found->second->moments().defined()) {
    for (const auto& [name, watched] : watched_) watched->forget();
    read_from(static_cast<size_t>(std::find(order_.begin(), order_.end(), tensor) - order_.begin()));
  }
  return found->second->moments();
}

void InputMoments::read_from(size_t first) {
  const at::NoGradGuard no_grad;
  int64_t bytes = 0;
  for (size_t i = first; i < order_.size(); ++i) {
    Watched& next = *watched_.at(order_[i]);
    if (i > first && bytes + next.bytes() > bytes_) break;
    bytes += next.bytes();
    next.begin();
  }
  for (const at::Tensor& window : windows_.split(1)) engine_.decoder().hidden_states(window);
}

}  // namespace deepspeed::inference
