// The families with tiny models in tests/parity.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "deepspeed/models/arch_spec.h"

namespace deepspeed::tensor_parallel {

inline const std::filesystem::path kGoldens = std::filesystem::path(DS_SOURCE_DIR) / "tests/parity/goldens";

inline std::filesystem::path folder_of(const std::string& family) {
  return kGoldens / "models" / (family + "-sharp");
}
inline models::ArchSpec spec_of(const std::string& family) {
  return models::read_arch_spec(folder_of(family) / "config.json");
}

/// Families with a folder of sharp weights, decoders or encoders, by name.
inline std::vector<std::string> families(bool encoders) {
  std::set<std::string> found;
  for (const auto& folder : std::filesystem::directory_iterator(kGoldens / "models")) {
    const std::string name = folder.path().filename();
    if (!name.ends_with("-sharp")) continue;
    const std::string family = name.substr(0, name.size() - 6);
    const models::ArchSpec spec = spec_of(family);
    if (!spec.is_encoder_decoder() && spec.bidirectional == encoders) found.insert(family);
  }
  return {found.begin(), found.end()};
}

}  // namespace deepspeed::tensor_parallel
