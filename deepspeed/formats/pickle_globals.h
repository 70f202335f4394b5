// The names that a pickle of tensors may ask for. Used by unpickler.cpp.
#pragma once

#include <optional>
#include <string_view>

#include "deepspeed/formats/dtype.h"

namespace deepspeed::formats {

enum class PickleGlobal {
  kOrderedDict,
  kSize,
  kNotATensor,        // makes what is of no interest here
  kRebuildTensor,     // (storage, offset, size, strides)
  kRebuildTensorV2,   // and requires_grad, backward_hooks, perhaps metadata
  kRebuildTensorV3,   // and dtype behind backward_hooks
  kRebuildParameter,  // (tensor, requires_grad, backward_hooks, perhaps state)
  kRebuildFromType,   // (one of the functions above, type, its arguments, state)
  kTensorType,
  kStorageType,
  kDtype,
};

struct PickleGlobalRow {
  std::string_view module, name;
  PickleGlobal what;
  std::optional<Dtype> dtype = std::nullopt;  // of a storage type, unless it is untyped, and of a dtype
};

/// The row's number, or nothing when the name is not allowed.
std::optional<uint32_t> find_pickle_global(std::string_view module, std::string_view name);
const PickleGlobalRow& pickle_global(uint32_t number);

}  // namespace deepspeed::formats
