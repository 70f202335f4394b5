// The goldens of make_task_goldens.py, and comparing answers with them.
#pragma once

#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "deepspeed/base/file.h"
#include "deepspeed/config/json.h"

namespace deepspeed::inference {

inline std::filesystem::path inference_goldens() {
  return std::filesystem::path(DS_SOURCE_DIR) / "tests/inference/goldens";
}

inline config::Json golden_cases(const std::string& file) {
  return config::Json::parse(base::read_text_file(inference_goldens() / file));
}

inline std::filesystem::path model_of(const config::Json& one) {
  return inference_goldens() / "models" / one.at("model").get<std::string>();
}

/// Numbers within 1e-4, everything else the same.
inline void expect_like(const config::Json& ours, const config::Json& theirs, const std::string& where) {
  if (theirs.is_number_float() || ours.is_number_float()) {
    ASSERT_TRUE(ours.is_number() && theirs.is_number()) << where << ": " << ours << " for " << theirs;
    EXPECT_NEAR(ours.get<double>(), theirs.get<double>(), 1e-4) << where;
  } else if (theirs.is_array() || theirs.is_object()) {
    ASSERT_EQ(ours.type(), theirs.type()) << where << ": " << ours << " for " << theirs;
    ASSERT_EQ(ours.size(), theirs.size()) << where << ": " << ours << " for " << theirs;
    for (const auto& [key, value] : theirs.items()) {
      if (theirs.is_array()) {
        expect_like(ours[std::stoul(key)], value, where + "[" + key + "]");
      } else {
        ASSERT_TRUE(ours.contains(key)) << where << " lacks " << key;
        expect_like(ours[key], value, where + "." + key);
      }
    }
  } else {
    EXPECT_EQ(ours, theirs) << where;
  }
}

}  // namespace deepspeed::inference
