#include "deepspeed/launcher/program.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>

#include "deepspeed/base/error.h"

namespace deepspeed::launcher {
namespace {

namespace fs = std::filesystem;

bool is_executable_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
}

std::string find_python(const std::string& search_path) {
  auto python = find_on_path("python3", search_path);
  DS_CHECK(python, "python3 is not on PATH, and a Python program needs it; install python3 or extend PATH");
  return *python;
}

std::string find_executable(const std::string& name, const fs::path& bin_dir,
                            const std::string& search_path) {
  if (name.find('/') == std::string::npos) {
    if (is_executable_file(bin_dir / name)) return (bin_dir / name).string();
    if (auto found = find_on_path(name, search_path)) return *found;
    const char* hint = is_executable_file(name) ? "; for the file in this folder write ./" : "";
    base::fail("program '{}' is neither beside deepspeed ({}) nor on PATH{}{}", name, bin_dir.string(), hint,
               *hint ? name : "");
  }
  std::error_code ignored;
  DS_CHECK(fs::exists(name, ignored), "program {} does not exist", name);
  DS_CHECK(!fs::is_directory(name, ignored), "program {} is a folder, not an executable file", name);
  DS_CHECK(is_executable_file(name),
           "program {} is not executable; chmod +x it, or name its interpreter before it", name);
  return name;
}

bool starts_with_shebang(const std::string& path) {
  std::array<char, 2> start{};
  std::ifstream in(path, std::ios::binary);
  return in.read(start.data(), start.size()) && start[0] == '#' && start[1] == '!';
}

bool is_interpreter(const std::string& path) {
  constexpr std::array kInterpreters = {"python", "pypy", "bash", "dash", "sh",
                                        "zsh",    "env",  "perl", "uv",   "conda"};
  std::string name = fs::path(path).filename().string();
  name.erase(name.find_last_not_of("0123456789.") + 1);
  return std::ranges::find(kInterpreters, name) != kInterpreters.end();
}

}  // namespace

std::optional<std::string> find_on_path(const std::string& name, const std::string& search_path) {
  size_t begin = 0;
  while (begin <= search_path.size()) {
    size_t end = std::min(search_path.find(':', begin), search_path.size());
    fs::path folder = search_path.substr(begin, end - begin);
    fs::path candidate = (folder.empty() ? fs::path(".") : folder) / name;
    if (is_executable_file(candidate)) return candidate.string();
    begin = end + 1;
  }
  return std::nullopt;
}

Program resolve_program(const LaunchOptions& options, const fs::path& bin_dir,
                        const std::string& search_path) {
  const std::string& name = options.program;
  if (options.module) {
    std::string python = find_python(search_path);
    return {python, {python, "-u", "-m", name}, true};
  }
  if (name.ends_with(".py") && !options.no_python) {
    std::error_code ignored;
    DS_CHECK(fs::is_regular_file(name, ignored), "program {} does not exist or is not a file", name);
    DS_CHECK(::access(name.c_str(), R_OK) == 0, "program {} cannot be read; check its permissions", name);
    std::string python = find_python(search_path);
    return {python, {python, "-u", name}, true};
  }
  std::string executable = find_executable(name, bin_dir, search_path);
  return {executable, {name}, starts_with_shebang(executable) || is_interpreter(executable)};
}

fs::path own_bin_dir() { return fs::read_symlink("/proc/self/exe").parent_path(); }

}  // namespace deepspeed::launcher
