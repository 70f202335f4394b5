// What a call of the launcher's refuses.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "deepspeed/base/error.h"

namespace deepspeed::test_support {

/// The message of the base::Error that `body` throws, which is one line; "" when it throws none.
inline std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const base::Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "";
}

}  // namespace deepspeed::test_support
