#include "deepspeed/launcher/supervisor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "deepspeed/launcher/process_tree.h"
#include "deepspeed/launcher/spawn.h"

namespace deepspeed::launcher {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kPartialLineWaitMs = 100;
constexpr int kKillIntervalMs = 10;

int exit_code(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

std::string describe(int status) {
  if (!WIFSIGNALED(status)) return fmt::format("exited with code {}", WEXITSTATUS(status));
  const char* name = ::sigabbrev_np(WTERMSIG(status));
  return fmt::format("was ended by signal {} (SIG{})", WTERMSIG(status), name != nullptr ? name : "?");
}

std::vector<std::string> tail_of_file(const std::string& path, size_t lines) {
  LineTail tail(lines);
  std::ifstream in(path, std::ios::binary);
  in.seekg(0, std::ios::end);
  const auto size = static_cast<std::streamoff>(in.tellg());
  in.seekg(std::max<std::streamoff>(0, size - (64 << 10)));
  char buffer[4096];
  while (in.read(buffer, sizeof(buffer)) || in.gcount() > 0)
    tail.feed({buffer, static_cast<size_t>(in.gcount())});
  return tail.lines();
}

}  // namespace

Supervisor::Supervisor(SignalWatch& signals, SupervisorOptions options)
    : signals_(signals), options_(options), relay_(STDERR_FILENO, options.tail_lines) {
  become_reaper();
}

void Supervisor::start(const std::vector<RankPlan>& plans, int socket_fd) {
  try {
    for (const RankPlan& plan : plans) {
      SpawnedRank spawned = spawn_rank(plan, socket_fd, signals_);
      ranks_.push_back({spawned.pid, plan.name, plan.log_path});
      if (spawned.stderr_fd >= 0) relay_.add(spawned.stderr_fd);
    }
  } catch (...) {
    end_descendants(options_.patience);
    throw;
  }
}

int Supervisor::run() {
  while (reap()) {
    if (phase_ == Phase::kRunning && running_ranks() == 0)
      stop_all();  // processes that the ranks left behind
    wait_for_events();
    handle_signals();
    relay_.pump();
    advance();
    if (phase_ == Phase::kKilling && Clock::now() >= deadline_) {
      relay_.say(fmt::format("deepspeed: processes {} do not end even when killed; giving up",
                             fmt::join(descendants(::getpid()), ", ")));
      break;
    }
  }
  relay_.finish();
  if (failure_) report_failure();
  relay_.finish();
  if (failure_) return exit_code(failure_->status);
  return told_to_stop_ != 0 ? 128 + told_to_stop_ : 0;
}

void Supervisor::wait_for_events() {
  int timeout = -1;
  if (phase_ == Phase::kKilling) timeout = kKillIntervalMs;
  if (phase_ == Phase::kTerminating) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now()).count() + 1;
    timeout = static_cast<int>(std::max<long>(0, left));
  }
  const bool partial = relay_.has_partial();
  if (partial) timeout = timeout < 0 ? kPartialLineWaitMs : std::min(timeout, kPartialLineWaitMs);
  std::vector<pollfd> polled = {{signals_.fd(), POLLIN, 0}};
  relay_.append_polled(polled);
  if (::poll(polled.data(), polled.size(), timeout) == 0 && partial) relay_.flush_partial();
}

void Supervisor::handle_signals() {
  for (int signal : signals_.take()) {
    if (signal == SIGCHLD || told_to_stop_ != 0) continue;
    told_to_stop_ = signal;
    if (phase_ != Phase::kRunning) continue;
    relay_.say(fmt::format("deepspeed: received SIG{}; stopping the ranks", ::sigabbrev_np(signal)));
    stop_all();
  }
}

bool Supervisor::reap() {
  std::vector<Failure> failures;
  int status = 0;
  pid_t pid = 0;
  while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
    auto rank = std::ranges::find_if(ranks_, [&](const Rank& r) { return r.running && r.pid == pid; });
    if (rank == ranks_.end()) continue;  // an orphan of a rank
    rank->running = false;
    if (status != 0) failures.push_back({static_cast<size_t>(rank - ranks_.begin()), pid, status});
  }
  // Seen together, a death by signal is the likely cause and exit codes its effect on the others.
  auto cause = std::ranges::find_if(failures, [](const Failure& f) { return WIFSIGNALED(f.status); });
  if (cause == failures.end()) cause = failures.begin();
  if (cause != failures.end() && phase_ == Phase::kRunning) note_failure(*cause);
  return pid == 0;
}

void Supervisor::note_failure(const Failure& failure) {
  failure_ = failure;
  stop_all();
  relay_.pump();  // so that the rank's own words come first
  relay_.say(fmt::format("deepspeed: {} (pid {}) {}{}", ranks_[failure.rank].name, failure.pid,
                         describe(failure.status), running_ranks() > 0 ? "; stopping the other ranks" : ""));
}

void Supervisor::stop_all() {
  phase_ = Phase::kTerminating;
  deadline_ = Clock::now() + options_.grace;
  signal_descendants(SIGTERM);
  signal_descendants(SIGCONT);  // a stopped process could not obey
}

void Supervisor::advance() {
  if (phase_ == Phase::kTerminating && Clock::now() >= deadline_) {
    phase_ = Phase::kKilling;
    deadline_ = Clock::now() + options_.patience;
  }
  // Again and again: a process may have forked between the look and the kill.
  if (phase_ == Phase::kKilling) signal_descendants(SIGKILL);
}

void Supervisor::report_failure() {
  const Rank& rank = ranks_[failure_->rank];
  const bool logged = !rank.log_path.empty();
  const std::vector<std::string> lines =
      logged ? tail_of_file(rank.log_path, options_.tail_lines) : relay_.tail(failure_->rank);
  const std::string where = logged ? "log " + rank.log_path : "standard error";
  if (lines.empty()) {
    relay_.say(fmt::format("deepspeed: {} wrote nothing to its {}", rank.name, where));
    return;
  }
  relay_.say(fmt::format("deepspeed: {} {}; the last lines of its {}:", rank.name, describe(failure_->status),
                         where));
  for (const std::string& line : lines) relay_.say(fmt::format("[{}] {}", rank.name, line));
}

size_t Supervisor::running_ranks() const {
  return static_cast<size_t>(std::ranges::count(ranks_, true, &Rank::running));
}

}  // namespace deepspeed::launcher
