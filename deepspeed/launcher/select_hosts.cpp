#include "deepspeed/launcher/select_hosts.h"

#include <algorithm>
#include <numeric>

#include "deepspeed/base/error.h"
#include "deepspeed/launcher/host_filter.h"

namespace deepspeed::launcher {
namespace {

std::vector<int> first_ids(int count) {
  std::vector<int> ids(static_cast<size_t>(count));
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

/// A CPU has no use for values such as "-1", which hide GPUs; they name no slots.
bool is_slot_list(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789,") == std::string::npos;
}

HostPool limit(HostPool hosts, const LaunchOptions& options) {
  const int available = static_cast<int>(hosts.size());
  DS_CHECK(options.num_nodes <= available,
           "--num_nodes {} but only {} host{} known; list the others in a hostfile", options.num_nodes,
           available, available == 1 ? " is" : "s are");
  if (options.num_nodes > 0) hosts.resize(static_cast<size_t>(options.num_nodes));
  if (options.num_accelerators > 0)
    for (Host& host : hosts) host.slots = first_ids(options.num_accelerators);
  return hosts;
}

}  // namespace

Selection select_hosts(const LaunchOptions& options, const std::optional<HostPool>& hostfile,
                       const Machine& machine, const std::string& visible_devices) {
  const bool filtered = !options.include.empty() || !options.exclude.empty();
  const bool counted = options.num_nodes > 0 || options.num_accelerators > 0;
  DS_CHECK(
      !(filtered && counted),
      "--num_nodes and --num_accelerators cannot be combined with --include or --exclude; give one kind");
  Selection selection;
  std::string include = options.include;
  if (!hostfile && !visible_devices.empty() &&
      (machine.accelerator != "cpu" || is_slot_list(visible_devices))) {
    if (filtered || counted) {
      selection.note =
          "CUDA_VISIBLE_DEVICES=" + visible_devices + " is overruled by the flags that choose ranks";
    } else {
      include = "localhost:" + visible_devices;
      selection.note = "CUDA_VISIBLE_DEVICES=" + visible_devices + " is taken as --include=" + include;
    }
  }
  HostPool pool;
  if (hostfile) {
    pool = *hostfile;
  } else {
    const bool choose = !include.empty() || !options.exclude.empty();
    pool = {{"localhost", first_ids(choose ? machine.slots : machine.default_slots)}};
  }
  selection.hosts = limit(filter_hosts(pool, include, options.exclude), options);
  DS_CHECK(!selection.hosts.empty(), "--exclude '{}' leaves no slot to run on", options.exclude);
  return selection;
}

}  // namespace deepspeed::launcher
