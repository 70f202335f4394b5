#include "deepspeed/inference/weight_places.h"

namespace deepspeed::inference {

std::optional<WeightPlaces::Place> WeightPlaces::in_place(const nn::ParameterSpec& spec) {
  const auto found = weights_.in_place(spec);
  if (!found) return std::nullopt;
  const auto [number, is_new] = numbers_.emplace(found->file, files_.size());
  if (is_new) files_.push_back(aio::File::open(found->file, aio::Mode::kRead));
  return Place{number->second, found->offset};
}

WeightPlaces::Place WeightPlaces::write(const at::Tensor& tensor) {
  if (!written_) {
    written_.emplace(offload_.nvme_path.value_or(""), aio::AioConfig{}, aio::BackendFactory{});
    written_number_ = files_.size();
    files_.push_back(written_->file());
  }
  return {written_number_, written_->append(tensor)};
}

}  // namespace deepspeed::inference
