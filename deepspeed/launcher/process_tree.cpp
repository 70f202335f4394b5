#include "deepspeed/launcher/process_tree.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

namespace deepspeed::launcher {
namespace {

/// The parent of a living process, from "pid (name) state ppid ..."; the name may hold blanks and brackets.
std::optional<pid_t> living_parent(const std::string& pid) {
  const std::string path = "/proc/" + pid + "/stat";
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  char text[512];
  const ssize_t length = ::read(fd, text, sizeof(text));
  ::close(fd);
  std::string_view stat(text, length > 0 ? static_cast<size_t>(length) : 0);
  const size_t name_end = stat.rfind(") ");
  if (name_end == std::string_view::npos || stat.size() < name_end + 4) return std::nullopt;
  const char state = stat[name_end + 2];
  if (state == 'Z' || state == 'X') return std::nullopt;
  stat.remove_prefix(name_end + 4);
  pid_t parent = 0;
  std::from_chars(stat.data(), stat.data() + stat.size(), parent);
  return parent;
}

std::multimap<pid_t, pid_t> children_by_parent() {
  std::multimap<pid_t, pid_t> children;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename().string();
    pid_t pid = 0;
    auto [end, status] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (status != std::errc() || end != name.data() + name.size()) continue;
    if (auto parent = living_parent(name)) children.emplace(*parent, pid);
  }
  return children;
}

}  // namespace

void become_reaper() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }

std::vector<pid_t> descendants(pid_t root) {
  const auto children = children_by_parent();
  std::vector<pid_t> found = {root};
  for (size_t i = 0; i < found.size(); ++i) {
    auto [begin, end] = children.equal_range(found[i]);
    for (auto it = begin; it != end; ++it) found.push_back(it->second);
  }
  found.erase(found.begin());
  return found;
}

void signal_descendants(int signal) {
  for (pid_t pid : descendants(::getpid())) ::kill(pid, signal);
}

bool end_descendants(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (;;) {
    pid_t reaped = 0;
    while ((reaped = ::waitpid(-1, nullptr, WNOHANG)) > 0) {
    }
    if (reaped < 0) return true;
    if (std::chrono::steady_clock::now() >= deadline) return false;
    signal_descendants(SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace deepspeed::launcher
