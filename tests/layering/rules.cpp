#include "tests/layering/rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <regex>
#include <set>
#include <sstream>

namespace deepspeed::layering {
namespace {

using Index = std::map<std::string, const SourceFile*>;

Index index_of(const Sources& sources) {
  Index index;
  for (const SourceFile& file : sources) index[file.path] = &file;
  return index;
}

bool is_torch(const std::string& path) {
  constexpr std::array kPrefixes = {"torch/", "ATen/", "c10/", "caffe2/", "gloo/"};
  return std::ranges::any_of(kPrefixes, [&](const char* prefix) { return path.starts_with(prefix); });
}

/// Lines of code (comments cut off) that match.
Violations find_code(const SourceFile& file, const std::regex& pattern, const char* what) {
  Violations found;
  std::istringstream in(file.text);
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    line.erase(std::min(line.find("//"), line.size()));
    if (std::regex_search(line, pattern)) found.push_back(fmt::format("{}:{}: {}", file.path, number, what));
  }
  return found;
}

void append(Violations& all, Violations more) { all.insert(all.end(), more.begin(), more.end()); }

/// Depth-first search for a way back to a file that is still open.
class CycleSearch {
 public:
  explicit CycleSearch(const Sources& sources) : index_(index_of(sources)) {}
  void visit(const SourceFile& file) {
    if (done_.contains(file.path)) return;
    open_.push_back(file.path);
    for (const Include& include : file.includes) {
      auto target = index_.find(include.path);
      if (target == index_.end()) continue;
      auto start = std::ranges::find(open_, include.path);
      if (start != open_.end()) {
        found.push_back(
            fmt::format("{}:{}: includes {}, which leads back here", file.path, include.line, include.path));
      } else {
        visit(*target->second);
      }
    }
    open_.pop_back();
    done_.insert(file.path);
  }
  Violations found;

 private:
  Index index_;
  std::vector<std::string> open_;
  std::set<std::string> done_;
};

}  // namespace

Violations check_order(const Sources& sources, const std::vector<std::string>& order) {
  Violations found;
  for (const SourceFile& file : sources) {
    const std::string module = module_of(file.path);
    if (module.empty()) continue;
    const auto own = std::ranges::find(order, module);
    if (own == order.end()) {
      found.push_back(
          fmt::format("{}:1: module {} is not in the list of deepspeed/CMakeLists.txt", file.path, module));
      continue;
    }
    for (const Include& include : file.includes) {
      const std::string other = module_of(include.path);
      if (other.empty() || other == module) continue;
      if (std::find(order.begin(), own, other) == own)
        found.push_back(fmt::format("{}:{}: {} may not include {}: it is not below it", file.path,
                                    include.line, module, include.path));
    }
  }
  return found;
}

Violations check_apart(const Sources& sources, const std::string& one, const std::string& other) {
  Violations found;
  for (const SourceFile& file : sources) {
    const std::string module = module_of(file.path);
    if (module != one && module != other) continue;
    for (const Include& include : file.includes)
      if (module_of(include.path) == (module == one ? other : one))
        found.push_back(fmt::format("{}:{}: {} and {} are independent of each other", file.path, include.line,
                                    one, other));
  }
  return found;
}

Violations check_cycles(const Sources& sources) {
  CycleSearch search(sources);
  for (const SourceFile& file : sources) search.visit(file);
  return search.found;
}

Violations check_paths(const Sources& sources) {
  const Index index = index_of(sources);
  Violations found;
  for (const SourceFile& file : sources)
    for (const Include& include : file.includes)
      if (include.quoted && !index.contains(include.path))
        found.push_back(fmt::format("{}:{}: \"{}\" is no file of this repository by its full path", file.path,
                                    include.line, include.path));
  return found;
}

Violations check_c10d(const Sources& sources) {
  Violations found;
  for (const SourceFile& file : sources)
    for (const Include& include : file.includes)
      if (include.path.starts_with("torch/csrc/distributed") && module_of(file.path) != "comm")
        found.push_back(
            fmt::format("{}:{}: only comm/ may include {}", file.path, include.line, include.path));
  return found;
}

Violations check_environment(const Sources& sources) {
  static const std::regex pattern(
      R"(\b(secure_getenv|getenv|setenv|unsetenv|putenv|clearenv)\s*\(|\benviron\b)");
  Violations found;
  for (const SourceFile& file : sources)
    if (file.path != "deepspeed/base/env.cpp")
      append(found, find_code(file, pattern, "only base/env may touch the environment"));
  return found;
}

Violations check_shells(const Sources& sources) {
  static const std::regex pattern(R"((^|[^\w.>])(system|popen|wordexp|execlp?|execvp)\s*\()");
  Violations found;
  for (const SourceFile& file : sources)
    append(found,
           find_code(file, pattern, "programs are started with an argv vector and a path, never by a shell"));
  return found;
}

Violations check_torch_free(const Sources& sources, const std::vector<std::string>& torch_free) {
  const Index index = index_of(sources);
  Violations found;
  for (const std::string& start : torch_free) {
    std::vector<std::string> reached = {start};
    for (size_t i = 0; i < reached.size(); ++i) {
      auto file = index.find(reached[i]);
      if (file == index.end()) continue;
      for (const Include& include : file->second->includes) {
        if (is_torch(include.path))
          found.push_back(fmt::format("{}:{}: includes {}, but {} is torch-free", reached[i], include.line,
                                      include.path, start));
        if (std::ranges::find(reached, include.path) == reached.end()) reached.push_back(include.path);
      }
    }
  }
  return found;
}

Violations check_length(const Sources& sources, int limit) {
  Violations found;
  for (const SourceFile& file : sources)
    if (file.lines > limit && file.text.substr(0, 400).find("Generated by") == std::string::npos)
      found.push_back(fmt::format("{}:1: {} lines, more than {}", file.path, file.lines, limit));
  return found;
}

}  // namespace deepspeed::layering
