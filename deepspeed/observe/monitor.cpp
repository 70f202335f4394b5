#include "deepspeed/observe/monitor.h"

#include "deepspeed/base/log.h"
#include "deepspeed/observe/csv_monitor.h"
#include "deepspeed/observe/event_file.h"

namespace deepspeed::observe {

Monitors::Monitors(const ObserveConfig& config) {
  if (config.tensorboard.enabled) all_.push_back({std::make_unique<TensorboardMonitor>(config.tensorboard)});
  if (config.csv_monitor.enabled) all_.push_back({std::make_unique<CsvMonitor>(config.csv_monitor)});
}

void Monitors::write(const std::vector<Event>& events) {
  for (Entry& entry : all_) {
    const auto problem = entry.monitor->write(events);
    if (!problem || entry.warned) continue;
    entry.warned = true;
    base::log_warning("{}; training goes on, such events are lost and this is not said again", *problem);
  }
}

}  // namespace deepspeed::observe
