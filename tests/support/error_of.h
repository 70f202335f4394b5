// What an action that should fail says.
#pragma once

#include <functional>
#include <string>

#include "deepspeed/base/error.h"

namespace deepspeed::testing_support {

/// The line of the Error that it throws, or "no error".
inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const base::Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace deepspeed::testing_support
