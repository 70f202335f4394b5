// Number formats of configuration files as libtorch's.
#pragma once

#include <c10/core/ScalarType.h>

#include "deepspeed/config/data_type.h"

namespace deepspeed::accel {

constexpr at::ScalarType scalar_type(config::DataType type) {
  switch (type) {
    case config::DataType::kFp16:
      return at::kHalf;
    case config::DataType::kBf16:
      return at::kBFloat16;
    case config::DataType::kFp32:
      return at::kFloat;
  }
  return at::kFloat;
}

/// "fp32", "fp16" or "bf16", as configuration files and people call them.
constexpr const char* short_name(at::ScalarType type) {
  if (type == at::kHalf) return "fp16";
  return type == at::kBFloat16 ? "bf16" : "fp32";
}

}  // namespace deepspeed::accel
