// Runs a command in a test: its output, its exit code, and whether any process of it is left.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace deepspeed::test_support {

struct CommandResult {
  int exit_code = -1;  // as a shell counts: 128+N for signal N
  std::string out, err;
  double seconds = 0;
  std::vector<pid_t>
      left;  // processes of the command, grandchildren included, that still live a moment later
};

/// A running command. Its processes are recognised by a mark in their environment.
class Command {
 public:
  /// argv[0] is a path or a name on PATH. `environment`: "NAME=value" beside this process's own.
  explicit Command(const std::vector<std::string>& argv, const std::vector<std::string>& environment = {});
  ~Command();  // ends what is left
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  pid_t pid() const { return pid_; }
  std::string out() const;  // so far
  std::string err() const;
  /// True as soon as standard output holds `text`; false after `limit`.
  bool wait_for_output(const std::string& text,
                       std::chrono::milliseconds limit = std::chrono::seconds(10)) const;
  /// Living processes that carry the mark.
  std::vector<pid_t> processes() const;
  /// Waits for the end. After `limit` everything is killed and exit_code stays -1.
  CommandResult wait(std::chrono::milliseconds limit = std::chrono::seconds(30));

 private:
  pid_t pid_ = -1;
  std::string mark_, out_path_, err_path_;
  std::chrono::steady_clock::time_point started_;
};

CommandResult run_command(const std::vector<std::string>& argv,
                          const std::vector<std::string>& environment = {});

size_t count_lines(const std::string& text);
std::vector<std::string> sorted_lines(const std::string& text);

}  // namespace deepspeed::test_support
