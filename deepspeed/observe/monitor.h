// Events of a training run, and who keeps them. Mirrors DeepSpeed's monitor/monitor.py.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/observe/config.h"

namespace deepspeed::observe {

struct Event {
  std::string name;  // "Train/Samples/lr"
  double value = 0;
  int64_t step = 0;    // the x-axis: samples so far
  bool whole = false;  // an integer in DeepSpeed: written without a decimal point
};

class Monitor {
 public:
  virtual ~Monitor() = default;
  /// Keeps all events. The reason of the first that could not be written comes back; the others were tried.
  virtual std::optional<std::string> write(const std::vector<Event>& events) = 0;
};

/// The monitors that a configuration enables. A monitor that cannot write when it is made is a base::Error;
/// one that fails later loses those events, says so once in the log, and never stops the training.
class Monitors {
 public:
  /// Call on global rank 0 alone; other ranks use the default constructor, which has no monitors.
  Monitors() = default;
  explicit Monitors(const ObserveConfig& config);
  bool enabled() const { return !all_.empty(); }
  void write(const std::vector<Event>& events);

 private:
  struct Entry {
    std::unique_ptr<Monitor> monitor;
    bool warned = false;
  };
  std::vector<Entry> all_;
};

}  // namespace deepspeed::observe
