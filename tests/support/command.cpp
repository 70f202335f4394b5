#include "tests/support/command.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "deepspeed/base/env.h"

namespace deepspeed::test_support {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

std::string read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

bool is_zombie(const fs::path& process) {
  const std::string stat = read_all(process / "stat");
  const size_t end = stat.rfind(") ");
  return end == std::string::npos || stat[end + 2] == 'Z' || stat[end + 2] == 'X';
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

}  // namespace

Command::Command(const std::vector<std::string>& argv, const std::vector<std::string>& environment) {
  static std::atomic<int> count{0};
  const std::string name = std::to_string(::getpid()) + "_" + std::to_string(count++);
  mark_ = "DS_TEST_MARK=" + name;
  out_path_ = (fs::temp_directory_path() / ("ds_command_" + name + ".out")).string();
  err_path_ = (fs::temp_directory_path() / ("ds_command_" + name + ".err")).string();
  std::vector<std::string> variables = base::environment();
  for (const std::string& entry : environment) {
    const std::string prefix = entry.substr(0, entry.find('=') + 1);
    std::erase_if(variables, [&](const std::string& other) { return other.starts_with(prefix); });
    variables.push_back(entry);
  }
  variables.push_back(mark_);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, out_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND,
                                   0600);
  posix_spawn_file_actions_addopen(&files, 2, err_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND,
                                   0600);
  std::vector<char*> arguments = pointers(argv), envp = pointers(variables);
  started_ = Clock::now();
  const int error = ::posix_spawnp(&pid_, arguments[0], &files, nullptr, arguments.data(), envp.data());
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) throw std::runtime_error("cannot start " + argv[0]);
}

Command::~Command() {
  for (pid_t pid : processes()) ::kill(pid, SIGKILL);
  if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
  std::error_code ignored;
  fs::remove(out_path_, ignored);
  fs::remove(err_path_, ignored);
}

std::string Command::out() const { return read_all(out_path_); }
std::string Command::err() const { return read_all(err_path_); }

bool Command::wait_for_output(const std::string& text, std::chrono::milliseconds limit) const {
  for (auto end = Clock::now() + limit; Clock::now() < end;
       std::this_thread::sleep_for(std::chrono::milliseconds(5)))
    if (out().find(text) != std::string::npos) return true;
  return false;
}

std::vector<pid_t> Command::processes() const {
  std::vector<pid_t> found;
  std::error_code ignored;
  for (fs::directory_iterator it("/proc", ignored), end; it != end; it.increment(ignored)) {
    const std::string name = it->path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string variables = read_all(it->path() / "environ") + '\0';
    if (variables.find(mark_ + '\0') != std::string::npos && !is_zombie(it->path()))
      found.push_back(std::stoi(name));
  }
  return found;
}

CommandResult Command::wait(std::chrono::milliseconds limit) {
  CommandResult result;
  int status = 0;
  pid_t ended = 0;
  const auto end = Clock::now() + limit;
  while ((ended = ::waitpid(pid_, &status, WNOHANG)) == 0 && Clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  result.seconds = std::chrono::duration<double>(Clock::now() - started_).count();
  if (ended == pid_) {
    pid_ = -1;
    result.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  result.left = processes();
  result.out = out();
  result.err = err();
  return result;
}

CommandResult run_command(const std::vector<std::string>& argv, const std::vector<std::string>& environment) {
  return Command(argv, environment).wait();
}

size_t count_lines(const std::string& text) { return static_cast<size_t>(std::ranges::count(text, '\n')); }

std::vector<std::string> sorted_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  std::ranges::sort(lines);
  return lines;
}

}  // namespace deepspeed::test_support
