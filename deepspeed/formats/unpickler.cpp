#include "deepspeed/formats/unpickler.h"

#include "deepspeed/base/error.h"
#include "deepspeed/formats/pickle_machine.h"
#include "deepspeed/formats/safetensors.h"

namespace deepspeed::formats {

using Kind = PickleValue::Kind;

Pickle::Pickle(std::span<const std::byte> image, size_t begin, const std::string& where) : where_(where) {
  PickleMachine(image, begin, *this).run();
}

std::span<const PickleValue> Pickle::items(PickleValue container) const {
  const bool holds =
      container.kind == Kind::kTuple || container.kind == Kind::kList || container.kind == Kind::kDict;
  return holds ? std::span<const PickleValue>(containers_[container.index]) : std::span<const PickleValue>();
}

std::vector<int64_t> Pickle::numbers(PickleValue tuple, const char* what, size_t at) const {
  const auto values = items(tuple);
  DS_CHECK(tuple.kind == Kind::kTuple || tuple.kind == Kind::kList, "'{}' at byte {}: a tensor's {} is {}",
           where_, at, what, pickle_kind_name(tuple.kind));
  DS_CHECK(values.size() <= kMaxDimensions, "'{}' at byte {}: a tensor has more than {} dimensions", where_,
           at, kMaxDimensions);
  std::vector<int64_t> numbers;
  numbers.reserve(values.size());
  for (const PickleValue value : values) {
    DS_CHECK(value.kind == Kind::kInt && value.integer >= 0,
             "'{}' at byte {}: a tensor's {} holds {} where a number of at least 0 belongs", where_, at, what,
             value.kind == Kind::kInt ? std::to_string(value.integer) : pickle_kind_name(value.kind));
    numbers.push_back(value.integer);
  }
  return numbers;
}

PickledTensor Pickle::tensor(PickleValue value) const {
  DS_CHECK(value.kind == Kind::kTensor, "'{}': {} is no tensor", where_, pickle_kind_name(value.kind));
  const Tensor& found = tensors_[value.index];
  PickledTensor tensor{storages_[found.storage.index], found.dtype, 0,
                       numbers(found.shape, "shape", found.at), numbers(found.strides, "strides", found.at)};
  DS_CHECK(found.offset.kind == Kind::kInt && found.offset.integer >= 0,
           "'{}' at byte {}: a tensor's offset is not a number of at least 0", where_, found.at);
  tensor.offset = found.offset.integer;
  DS_CHECK(tensor.shape.size() == tensor.strides.size(),
           "'{}' at byte {}: a tensor has {} dimensions but {} strides", where_, found.at,
           tensor.shape.size(), tensor.strides.size());
  return tensor;
}

}  // namespace deepspeed::formats
