#include "deepspeed/launcher/core_binding.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/launcher/core_list.h"

namespace deepspeed::launcher {
namespace {

using Memory = CoreBinding::Memory;

/// The nodes that list the same cores as their neighbours, in such groups.
std::vector<std::vector<int>> fake_numa_groups(const std::vector<NumaNode>& nodes) {
  std::vector<std::vector<int>> groups;
  for (size_t i = 0; i < nodes.size();) {
    size_t end = i + 1;
    while (end < nodes.size() && nodes[end].cores == nodes[i].cores) ++end;
    if (end - i > 1 && !nodes[i].cores.empty()) {
      std::vector<int>& group = groups.emplace_back();
      for (size_t j = i; j < end; ++j) group.push_back(nodes[j].id);
    }
    i = end;
  }
  return groups;
}

void choose_memory(CoreBinding& binding, const std::vector<NumaNode>& nodes) {
  const auto home = std::ranges::find_if(
      nodes, [&](const NumaNode& n) { return std::ranges::includes(n.cores, binding.cores); });
  if (home == nodes.end()) return;
  std::vector<int> with_cores, without;
  for (const NumaNode& node : nodes) (node.cores.empty() ? without : with_cores).push_back(node.id);
  const auto groups = fake_numa_groups(nodes);
  if (!without.empty() && without.size() == with_cores.size()) {
    const auto position = std::ranges::find(with_cores, home->id) - with_cores.begin();
    binding.memory = Memory::kPrefer;
    binding.nodes = {without[static_cast<size_t>(position)]};
  } else if (groups.empty()) {
    binding.memory = Memory::kOnly;
    binding.nodes = {home->id};
  } else if (auto group = std::ranges::find_if(
                 groups, [&](const auto& ids) { return std::ranges::find(ids, home->id) != ids.end(); });
             group != groups.end()) {
    binding.memory = Memory::kOnly;
    binding.nodes = *group;
  }
}

}  // namespace

std::vector<CoreBinding> bind_cores(const std::vector<int>& cores, int ranks,
                                    const std::vector<NumaNode>& nodes) {
  const auto each = static_cast<std::ptrdiff_t>(cores.size()) / ranks;
  DS_CHECK(each >= 1, "{} rank{} cannot have a core each: there {} {} ({}); start fewer ranks", ranks,
           ranks == 1 ? "" : "s", cores.size() == 1 ? "is" : "are", cores.size(), format_core_list(cores));
  std::vector<CoreBinding> bindings(static_cast<size_t>(ranks));
  auto next = cores.begin();
  for (CoreBinding& binding : bindings) {
    binding.cores.assign(next, next + each);
    next += each;
    choose_memory(binding, nodes);
  }
  return bindings;
}

std::vector<std::string> numactl_command(const CoreBinding& binding) {
  std::vector<std::string> words = {"numactl"};
  if (binding.memory != Memory::kAnywhere) {
    words.push_back(binding.memory == Memory::kOnly ? "-m" : "-p");
    words.push_back(fmt::format("{}", fmt::join(binding.nodes, ",")));
  }
  words.push_back("-C");
  words.push_back(format_core_list(binding.cores));
  return words;
}

}  // namespace deepspeed::launcher
