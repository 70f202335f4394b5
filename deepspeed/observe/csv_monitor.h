// The CSV monitor: one file an event name. Mirrors DeepSpeed's monitor/csv_monitor.py byte for byte.
#pragma once

#include <map>

#include "deepspeed/observe/append_file.h"
#include "deepspeed/observe/monitor.h"

namespace deepspeed::observe {

/// Files <output_path>/<job_name>/<name with '/' and ' ' as '_'>.csv, opened for appending, lines ending in
/// CR LF. The first event of a name in this process writes the line "step,<last part of the name>"; each
/// event "step,value", the value as Python prints it.
class CsvMonitor : public Monitor {
 public:
  explicit CsvMonitor(const MonitorFilesConfig& config);
  std::optional<std::string> write(const std::vector<Event>& events) override;

 private:
  std::optional<std::string> write_one(const Event& event);

  std::filesystem::path folder_;
  std::map<std::string, AppendFile> files_;  // by event name
};

}  // namespace deepspeed::observe
