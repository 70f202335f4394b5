#include "deepspeed/launcher/spawn.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>

#include "deepspeed/base/error.h"
#include "deepspeed/launcher/bind_process.h"
#include "deepspeed/launcher/core_list.h"

namespace deepspeed::launcher {
namespace {

using Pipe = std::array<int, 2>;  // read end, write end

Pipe make_pipe() {
  Pipe ends{};
  DS_CHECK(::pipe2(ends.data(), O_CLOEXEC) == 0,
           "cannot make a pipe: {}; raise the limit of open files (ulimit -n)", std::strerror(errno));
  return ends;
}

int open_log(const std::string& path) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  DS_CHECK(fd >= 0, "cannot write the rank's log {}: {}", path, std::strerror(errno));
  return fd;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

struct ChildFiles {
  int log = -1;
  int stderr_write = -1;
  int socket = -1;
  int report = -1;  // a Failure goes here when the child cannot become the program
};

/// What stopped a child short of its program.
struct Failure {
  enum class Step { kBindCores, kBindMemory, kExecute } step;
  int error;  // errno
};

[[noreturn]] void give_up(const ChildFiles& files, Failure::Step step) {
  const Failure failure{step, errno};
  [[maybe_unused]] ssize_t written = ::write(files.report, &failure, sizeof(failure));
  ::_exit(126);
}

[[noreturn]] void become_rank(const RankPlan& plan, std::vector<std::string> environment,
                              const ChildFiles& files, const SignalWatch& signals, pid_t launcher) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != launcher) ::_exit(127);  // it died before the line above
  if (!plan.reads_input) {
    int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing >= 0) ::dup2(nothing, STDIN_FILENO);
  }
  if (files.log >= 0) ::dup2(files.log, STDOUT_FILENO);
  ::dup2(files.log >= 0 ? files.log : files.stderr_write, STDERR_FILENO);
  if (files.socket >= 0) {
    ::fcntl(files.socket, F_SETFD, 0);
    set_variable(environment, "DS_RENDEZVOUS_FD", std::to_string(files.socket));
  }
  if (plan.binding && !bind_cores_here(*plan.binding)) give_up(files, Failure::Step::kBindCores);
  if (plan.binding && !bind_memory_here(*plan.binding)) give_up(files, Failure::Step::kBindMemory);
  std::vector<char*> argv = pointers(plan.argv), envp = pointers(environment);
  signals.restore();
  ::execve(plan.executable.c_str(), argv.data(), envp.data());
  give_up(files, Failure::Step::kExecute);
}

/// Nothing when execve succeeded, which closes the pipe.
std::optional<Failure> read_failure(int report_fd) {
  Failure failure{};
  ssize_t length = 0;
  do length = ::read(report_fd, &failure, sizeof(failure));
  while (length < 0 && errno == EINTR);
  ::close(report_fd);
  if (length != static_cast<ssize_t>(sizeof(failure))) return std::nullopt;
  return failure;
}

[[noreturn]] void explain(const Failure& failure, const RankPlan& plan) {
  const char* reason = std::strerror(failure.error);
  if (failure.step == Failure::Step::kBindCores)
    base::fail("cannot bind {} to cores {}: {}", plan.name, format_core_list(plan.binding->cores), reason);
  if (failure.step == Failure::Step::kBindMemory)
    base::fail("cannot bind the memory of {} to NUMA node {}: {}{}", plan.name,
               fmt::join(plan.binding->nodes, ","), reason,
               failure.error == EPERM ? "; in a container this needs the capability SYS_NICE" : "");
  base::fail("cannot run {}: {}{}", plan.executable, reason,
             failure.error == ENOEXEC
                 ? " (it is neither a program for this machine nor a script that begins with #!)"
                 : "");
}

}  // namespace

SpawnedRank spawn_rank(const RankPlan& plan, int socket_fd, const SignalWatch& signals) {
  SpawnedRank spawned;
  ChildFiles files;
  Pipe report = make_pipe();
  files.report = report[1];
  if (plan.log_path.empty()) {
    Pipe errors = make_pipe();
    ::fcntl(errors[0], F_SETFL, O_NONBLOCK);
    spawned.stderr_fd = errors[0];
    files.stderr_write = errors[1];
  } else {
    files.log = open_log(plan.log_path);
  }
  if (plan.gets_socket) files.socket = socket_fd;
  const pid_t launcher = ::getpid();
  spawned.pid = ::fork();
  if (spawned.pid == 0) become_rank(plan, plan.environment, files, signals, launcher);
  const int fork_error = errno;
  for (int fd : {files.report, files.stderr_write, files.log})
    if (fd >= 0) ::close(fd);
  DS_CHECK(spawned.pid > 0, "cannot start {}: {}", plan.name, std::strerror(fork_error));
  if (const auto failure = read_failure(report[0])) {
    ::waitpid(spawned.pid, nullptr, 0);
    explain(*failure, plan);
  }
  return spawned;
}

}  // namespace deepspeed::launcher
