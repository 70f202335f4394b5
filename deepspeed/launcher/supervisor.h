// Watches the ranks of this machine: passes their errors on, stops all when one fails, leaves no process
// behind.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/launcher/output_relay.h"
#include "deepspeed/launcher/rank_plan.h"
#include "deepspeed/launcher/signal_watch.h"

namespace deepspeed::launcher {

struct SupervisorOptions {
  std::chrono::milliseconds grace{3000};     // between SIGTERM and SIGKILL
  std::chrono::milliseconds patience{5000};  // how long SIGKILLed processes may take before they are given up
  size_t tail_lines = 20;                    // of a failed rank's standard error
};

/// One launch. The process must be single-threaded, and must have no other children: they would be ended too.
class Supervisor {
 public:
  Supervisor(SignalWatch& signals, SupervisorOptions options);

  /// Starts all ranks; when one cannot be started, ends those that were and throws.
  void start(const std::vector<RankPlan>& plans, int socket_fd);

  /// Returns when no descendant is left: 0 when all ranks exited with 0; the code of the first rank that
  /// failed (128+N for signal N); 128+N when this process was told to stop by signal N.
  int run();

 private:
  enum class Phase { kRunning, kTerminating, kKilling };
  struct Rank {
    pid_t pid;
    std::string name;
    std::string log_path;
    bool running = true;
  };
  struct Failure {
    size_t rank;  // position in ranks_
    pid_t pid;
    int status;  // as waitpid gives it
  };

  void wait_for_events();
  void handle_signals();
  /// Collects exits; false when no child is left.
  bool reap();
  void note_failure(const Failure& failure);
  void stop_all();
  void advance();
  void report_failure();
  size_t running_ranks() const;

  SignalWatch& signals_;
  SupervisorOptions options_;
  OutputRelay relay_;
  std::vector<Rank> ranks_;
  Phase phase_ = Phase::kRunning;
  std::chrono::steady_clock::time_point deadline_{};
  std::optional<Failure> failure_;
  int told_to_stop_ = 0;
};

}  // namespace deepspeed::launcher
