// What a configuration says on watching a run: monitors and timers. Steps between progress lines are the
// engine's.
#pragma once

#include <string>

namespace deepspeed::observe {

/// A monitor that writes files below output_path/job_name.
struct MonitorFilesConfig {
  bool enabled = false;
  /// Empty: the current folder.
  std::string output_path;
  std::string job_name = "DeepSpeedJobName";
};

struct ThroughputConfig {
  bool enabled = true;
  /// Accepted: on CPUs there is nothing to wait for.
  bool synchronized = true;
};

struct ObserveConfig {
  MonitorFilesConfig tensorboard, csv_monitor;
  ThroughputConfig throughput;
  /// Time forward, backward and step, and say so every step.
  bool wall_clock_breakdown = false;
  /// Say how much memory is in use around forward, backward and step.
  bool memory_breakdown = false;
};

}  // namespace deepspeed::observe
