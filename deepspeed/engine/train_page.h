// ds_train --report: the run as one HTML page.
#pragma once

#include <filesystem>
#include <string>

#include "deepspeed/engine/step_log.h"
#include "deepspeed/observe/report_page.h"

namespace deepspeed::engine {

/// Collects a run's steps and writes observe::report_page, replacing the file atomically.
class TrainPage {
 public:
  /// Writes the page at once, still without steps: a path that cannot be written is a base::Error before any
  /// work is done. `about` holds everything but the steps and the state.
  TrainPage(std::filesystem::path path, int64_t last_step, observe::RunReport about);
  void add(const StepRecord& record);
  /// `ending`: "finished", or why not.
  void write(const std::string& ending);

 private:
  std::filesystem::path path_;
  int64_t last_step_;
  observe::RunReport report_;
};

}  // namespace deepspeed::engine
