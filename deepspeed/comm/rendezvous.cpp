#include "deepspeed/comm/rendezvous.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <array>
#include <numeric>
#include <vector>

#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/rank_discovery.h"
#include "deepspeed/comm/backends.h"
#include "deepspeed/comm/check_in.h"
#include "deepspeed/comm/socket.h"

namespace deepspeed::comm {
namespace {

using std::chrono::milliseconds;

int env_number(const char* name, int64_t least, int64_t most) {
  const auto value = base::env_int(name);
  DS_CHECK(value, "{} is not set", name);
  DS_CHECK(*value >= least && *value <= most, "{}={} is not in {} ... {}", name, *value, least, most);
  return static_cast<int>(*value);
}

constexpr int64_t kMostRanks = 1 << 24;

milliseconds timeout_from_env() {
  const auto minutes = base::env_int("DEEPSPEED_TIMEOUT");
  if (!minutes) return Rendezvous{}.timeout;
  DS_CHECK(*minutes > 0 && *minutes < 1'000'000, "DEEPSPEED_TIMEOUT={} is not a positive number of minutes",
           *minutes);
  return std::chrono::minutes(*minutes);
}

void take(const base::DiscoveredRank& found, int default_port, Rendezvous& r) {
  r.rank = found.rank;
  r.local_rank = found.local_rank;
  r.world_size = found.world_size;
  r.local_world_size = found.local_world_size.value_or(found.world_size);
  const auto address = base::env("MASTER_ADDR");
  DS_CHECK(
      address || found.local_world_size == found.world_size,
      "{} started {} ranks on several hosts, and MASTER_ADDR is not set: set it to the address by which they "
      "reach rank 0's host, for every rank",
      found.starter, found.world_size);
  r.master_addr = address.value_or("127.0.0.1");
  r.master_port = base::env("MASTER_PORT") ? env_number("MASTER_PORT", 1, 65535) : default_port;
}

void validate(const Rendezvous& r) {
  DS_CHECK(r.world_size >= 1, "WORLD_SIZE {} is below 1", r.world_size);
  DS_CHECK(r.rank >= 0 && r.rank < r.world_size, "RANK {} is not in 0 ... WORLD_SIZE - 1 = {}", r.rank,
           r.world_size - 1);
  DS_CHECK(r.timeout.count() > 0, "the rendezvous timeout must be positive, got {} ms", r.timeout.count());
  if (r.world_size == 1) return;
  DS_CHECK(!r.master_addr.empty(), "MASTER_ADDR is empty: set it to rank 0's address");
  DS_CHECK(r.master_port > 0 && r.master_port < 65536, "MASTER_PORT {} is not in 1 ... 65535", r.master_port);
}

double seconds(milliseconds t) { return std::chrono::duration<double>(t).count(); }

StorePtr open_store(const Rendezvous& r, const std::string& address) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(r.master_port);
  options.isServer = r.rank == 0;
  options.waitWorkers = false;
  options.timeout = r.timeout;
  if (r.rank == 0) {
    const int fd = r.listen_fd >= 0 ? r.listen_fd : listen_on(address, r.master_port);
    const int port = listening_port(fd);
    DS_CHECK(port == r.master_port, "DS_RENDEZVOUS_FD={} listens on port {}, but MASTER_PORT is {}", fd, port,
             r.master_port);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    options.masterListenFd = fd;
  }
  try {
    return c10::make_intrusive<c10d::TCPStore>(address, options);
  } catch (...) {
    base::fail(
        "rank {} could not reach rank 0 at {}:{} within {:.1f} s: check that it runs and that MASTER_ADDR "
        "and "
        "MASTER_PORT are the same everywhere ({})",
        r.rank, r.master_addr, r.master_port, seconds(r.timeout), reason_of(std::current_exception()));
  }
}

// All ranks present, once each, and of one mind about the size of the world.
void meet(const Rendezvous& r, const StorePtr& store) {
  std::vector<int> missing;
  try {
    DS_CHECK(store->add(fmt::format("rank{}", r.rank), 1) == 1, "two processes have RANK {}", r.rank);
    const auto mine = std::to_string(r.world_size);
    const auto agreed = store->compareSet("world_size", "", mine);
    DS_CHECK(agreed == mine, "WORLD_SIZE is {} on rank {} but {} elsewhere", mine, r.rank, agreed);
    missing = check_in(store, "world", r.rank, r.world_size, r.timeout);
  } catch (const base::Error&) {
    throw;
  } catch (...) {
    base::fail("rank {} lost rank 0 during the rendezvous: {}", r.rank, reason_of(std::current_exception()));
  }
  DS_CHECK(missing.empty(), "rendezvous at {}:{}: rank{} {} of {} did not arrive within {:.1f} s",
           r.master_addr, r.master_port, missing.size() > 1 ? "s" : "", fmt::join(missing, ", "),
           r.world_size, seconds(r.timeout));
}

// One rank's state of the world, without a transport.
std::shared_ptr<GroupState> new_state(const Rendezvous& r) {
  auto state = std::make_shared<GroupState>();
  state->rank = r.rank;
  state->size = r.world_size;
  state->global_ranks.resize(r.world_size);
  std::iota(state->global_ranks.begin(), state->global_ranks.end(), 0);
  if (r.world_size % r.local_world_size == 0) state->ranks_per_host = r.local_world_size;
  state->timeout = r.timeout;
  state->policy = policy_for("gloo");
  return state;
}

}  // namespace

Backend parse_backend(std::string_view name) {
  if (name.empty()) return Backend::kAuto;
  if (name == "gloo") return Backend::kGloo;
  if (name == "shm") return Backend::kShm;
  if (name == "nccl") return Backend::kNccl;
  base::fail("communication backend '{}' is not known: use gloo, shm or nccl", name);
}

Rendezvous rendezvous_from_env(bool auto_mpi_discovery, int distributed_port) {
  Rendezvous r;
  r.timeout = timeout_from_env();
  if (auto_mpi_discovery && !base::env("RANK") && !base::env("LOCAL_RANK") && !base::env("WORLD_SIZE")) {
    if (const auto found = base::discover_rank()) {
      take(*found, distributed_port, r);
      return r;
    }
  }
  constexpr std::array kNames{"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"};
  std::vector<std::string> missing;
  for (const char* name : kNames) {
    if (!base::env(name)) missing.push_back(name);
  }
  if (missing.size() == kNames.size()) return r;
  DS_CHECK(missing.empty(),
           "{} not set, though other rendezvous variables are: start through the deepspeed command, or "
           "set all of RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT",
           fmt::join(missing, ", "));
  r.world_size = env_number("WORLD_SIZE", 1, kMostRanks);
  r.rank = env_number("RANK", 0, r.world_size - 1);
  r.local_rank = env_number("LOCAL_RANK", 0, r.world_size - 1);
  r.master_addr = *base::env("MASTER_ADDR");
  r.master_port = env_number("MASTER_PORT", 1, 65535);
  r.local_world_size = r.world_size;
  for (const char* name : {"LOCAL_SIZE", "LOCAL_WORLD_SIZE"}) {
    if (base::env(name)) r.local_world_size = env_number(name, 1, r.world_size);
  }
  if (r.rank == 0 && base::env("DS_RENDEZVOUS_FD"))
    r.listen_fd = env_number("DS_RENDEZVOUS_FD", 0, kMostRanks);
  return r;
}

GroupPtr init_world(const Rendezvous& r, Backend backend) {
  validate(r);
  const bool nccl = backend == Backend::kNccl;
  const Connect connect = nccl ? connect_nccl(r.local_rank) : Connect();  // says so where it is not built in
  auto state = new_state(r);
  if (nccl) {
    state->device = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(r.local_rank));
    state->host = new_state(r);
  }
  if (r.world_size == 1) return std::make_shared<Group>(state);
  const auto address = resolve(r.master_addr);
  const StorePtr store = open_store(r, address);
  meet(r, store);
  const Connect on_cpu = connect_on_cpu(
      nccl ? Backend::kAuto : backend, r.rank == 0 ? address : local_address_towards(address, r.master_port));
  GroupState& cpu_state = nccl ? *state->host : *state;
  cpu_state.store = store;
  cpu_state.connect = on_cpu;
  connect_group(cpu_state, c10::make_intrusive<c10d::PrefixStore>("backend", store));
  if (nccl) {
    state->store = c10::make_intrusive<c10d::PrefixStore>("nccl", store);
    state->connect = connect;
    connect_group(*state, state->store);
  }
  return std::make_shared<Group>(state);
}

}  // namespace deepspeed::comm
