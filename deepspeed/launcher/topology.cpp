#include "deepspeed/launcher/topology.h"

#include <fmt/format.h>
#include <hwloc.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "deepspeed/base/error.h"
#include "deepspeed/launcher/core_list.h"

namespace deepspeed::launcher {
namespace {

struct Bitmap {
  explicit Bitmap(const std::vector<int>& indices) {
    for (int index : indices) hwloc_bitmap_set(bits, static_cast<unsigned>(index));
  }
  ~Bitmap() { hwloc_bitmap_free(bits); }
  Bitmap(const Bitmap&) = delete;
  Bitmap& operator=(const Bitmap&) = delete;
  hwloc_bitmap_t bits = hwloc_bitmap_alloc();
};

std::vector<int> indices_of(hwloc_const_bitmap_t bits) {
  std::vector<int> indices;
  for (int i = hwloc_bitmap_first(bits); i >= 0; i = hwloc_bitmap_next(bits, i)) indices.push_back(i);
  return indices;
}

}  // namespace

struct Topology::Impl {
  Impl() {
    DS_CHECK(hwloc_topology_init(&topology) == 0, "hwloc cannot start: {}", std::strerror(errno));
    // Otherwise a node whose cores are forbidden here would look like a node of memory alone.
    hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    if (hwloc_topology_load(topology) != 0) {
      const int error = errno;
      hwloc_topology_destroy(topology);
      base::fail("hwloc cannot read this machine's cores: {}", std::strerror(error));
    }
    // A tool such as taskset may have narrowed what the cgroup allows.
    if (hwloc_get_cpubind(topology, usable.bits, HWLOC_CPUBIND_PROCESS) == 0)
      hwloc_bitmap_and(usable.bits, usable.bits, hwloc_topology_get_allowed_cpuset(topology));
    else
      hwloc_bitmap_copy(usable.bits, hwloc_topology_get_allowed_cpuset(topology));
  }
  ~Impl() { hwloc_topology_destroy(topology); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  hwloc_topology_t topology = nullptr;
  Bitmap usable{{}};
};

Topology::Topology() : impl_(std::make_unique<Impl>()) {}
Topology::~Topology() = default;

std::vector<int> Topology::physical_cores() const {
  std::vector<int> cores;
  const Bitmap threads({});
  for (hwloc_obj_t core = nullptr;
       (core = hwloc_get_next_obj_by_type(impl_->topology, HWLOC_OBJ_CORE, core)) != nullptr;) {
    hwloc_bitmap_and(threads.bits, core->cpuset, impl_->usable.bits);
    if (!hwloc_bitmap_iszero(threads.bits)) cores.push_back(hwloc_bitmap_first(threads.bits));
  }
  // Some virtual machines do not say which hardware threads share a core.
  if (cores.empty()) cores = indices_of(impl_->usable.bits);
  std::ranges::sort(cores);
  return cores;
}

std::vector<NumaNode> Topology::numa_nodes() const {
  std::vector<NumaNode> nodes;
  for (hwloc_obj_t node = nullptr;
       (node = hwloc_get_next_obj_by_type(impl_->topology, HWLOC_OBJ_NUMANODE, node)) != nullptr;)
    nodes.push_back({static_cast<int>(node->os_index), indices_of(node->cpuset)});
  std::ranges::sort(nodes, {}, &NumaNode::id);
  return nodes;
}

void Topology::check_usable(const std::vector<int>& cores) const {
  for (int core : cores)
    DS_CHECK(hwloc_bitmap_isset(impl_->usable.bits, static_cast<unsigned>(core)),
             "core {} of '{}' is not one that this process may use; those are {}", core,
             format_core_list(cores), format_core_list(indices_of(impl_->usable.bits)));
}

}  // namespace deepspeed::launcher
