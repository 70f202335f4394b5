// What a call fails with.
#pragma once

#include <string>

#include "deepspeed/base/error.h"

namespace deepspeed::testing {

/// The text of the base::Error that `call` throws; "" when it throws none.
template <class Call>
std::string error_of(Call&& call) {
  try {
    call();
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace deepspeed::testing
