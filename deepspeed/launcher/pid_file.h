// The file of --save_pid.
#pragma once

#include <sys/types.h>

#include <filesystem>

namespace deepspeed::launcher {

/// "/tmp/<front>.deepspeed", which holds the id of the process to signal: `launcher`. The destructor removes
/// it. An Error when the file exists; a link put there by somebody else is never followed.
class PidFile {
 public:
  PidFile(pid_t front, pid_t launcher);
  ~PidFile();
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;

 private:
  std::filesystem::path path_;
};

}  // namespace deepspeed::launcher
