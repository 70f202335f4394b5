// How much memory a model's states take, by DeepSpeed's estimates (zero/memory_estimate.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "deepspeed/zero/memory_estimate.h"

namespace deepspeed::report {

struct EstimateReportOptions {
  std::filesystem::path model;  // Hugging Face folder; empty: `size` says it
  zero::ModelSize size;
  zero::EstimateOptions estimate;
};

/// The tables of ZeRO 2 and of ZeRO 3. base::Error where the folder holds no weights, whose headers are all
/// that is read.
std::string estimate_report(const EstimateReportOptions& options);

}  // namespace deepspeed::report
