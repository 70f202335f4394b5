// A configuration as the library understands it.
#pragma once

#include <cstdint>
#include <string>

namespace deepspeed::report {

struct ConfigReportOptions {
  /// File, JSON text, or that in url-safe base64.
  std::string config;
  /// Data-parallel ranks.
  int world_size = 1;
  /// Hugging Face folder, and steps of the training: what "auto" is resolved from. "" and 0: not known.
  std::string model;
  int64_t steps = 0;
  bool json = false;
};

/// A table: key, value in force, where the value comes from, and what the key does; below it the environment
/// variables that are set and matter. With `json` the same for programs. Errors: those of
/// engine::explain_config.
std::string config_report(const ConfigReportOptions& options);

/// Every key as JSON (config/table_json.h).
std::string config_reference_json();

}  // namespace deepspeed::report
