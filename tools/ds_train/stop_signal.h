// SIGINT, SIGTERM and SIGHUP as a wish that the program asks for between steps.
#pragma once

namespace deepspeed::train {

/// While it lives the first of these signals is noted; the second one ends the process at once. A signal that
/// is ignored when it begins, as SIGHUP is under nohup, stays ignored. One a process.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
  /// The signal's number, 0 before it came.
  static int received();
  /// Ends the process by the signal that came, so that its parent sees what happened; returns when none came.
  void end_as_signalled();
};

}  // namespace deepspeed::train
