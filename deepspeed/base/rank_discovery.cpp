#include "deepspeed/base/rank_discovery.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <charconv>
#include <vector>

#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"

namespace deepspeed::base {
namespace {

/// Variables of one meaning, the most usual first; all that are set must agree.
using Names = std::vector<const char*>;

struct Starter {
  const char* name;
  const char* condition;  // counts only where this is set too; null: always
  Names rank, size, local_rank, local_size;
};

/// Inner starters first. A batch script of SLURM itself has SLURM_PROCID=0 and the whole job's SLURM_NTASKS
/// but is no rank: only srun makes steps, and only a step's tasks have SLURM_STEP_TASKS_PER_NODE.
const std::array<Starter, 3>& starters() {
  static const std::array<Starter, 3> table = {{
      {"Open MPI",
       nullptr,
       {"OMPI_COMM_WORLD_RANK"},
       {"OMPI_COMM_WORLD_SIZE"},
       {"OMPI_COMM_WORLD_LOCAL_RANK"},
       {"OMPI_COMM_WORLD_LOCAL_SIZE"}},
      {"MPICH, Intel MPI or PALS",
       nullptr,
       {"PMI_RANK", "PMIX_RANK", "PALS_RANKID"},
       {"PMI_SIZE"},
       {"MPI_LOCALRANKID", "PALS_LOCAL_RANKID"},
       {"MPI_LOCALNRANKS", "PALS_LOCAL_SIZE"}},
      {"SLURM",
       "SLURM_STEP_TASKS_PER_NODE",
       {"SLURM_PROCID"},
       {"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"},
       {"SLURM_LOCALID"},
       {}},
  }};
  return table;
}

struct Value {
  const char* name = nullptr;
  int number = 0;
};

std::optional<Value> read(const Names& names) {
  std::optional<Value> found;
  for (const char* name : names) {
    const auto number = env_int(name);
    if (!number) continue;
    DS_CHECK(*number >= 0 && *number <= 1 << 24, "{}={} is not in 0 ... {}", name, *number, 1 << 24);
    const Value value{name, static_cast<int>(*number)};
    DS_CHECK(!found || found->number == value.number,
             "{}={} and {}={} contradict each other; set RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and "
             "MASTER_PORT to overrule both",
             found->name, found->number, name, value.number);
    if (!found) found = value;
  }
  return found;
}

/// SLURM's "2(x3),1" means 2 tasks on each of the first 3 nodes and 1 on the next.
std::optional<int> slurm_tasks_here() {
  const auto list = env("SLURM_STEP_TASKS_PER_NODE");
  if (!list) return std::nullopt;
  const int64_t node = env_int("SLURM_NODEID").value_or(0);
  int64_t nodes_before = node;
  const char* at = list->data();
  const char* end = at + list->size();
  while (at < end) {
    int tasks = 0, times = 1;
    auto parsed = std::from_chars(at, end, tasks);
    bool valid = parsed.ec == std::errc() && tasks > 0;
    if (valid && std::string_view(parsed.ptr, end).starts_with("(x")) {
      parsed = std::from_chars(parsed.ptr + 2, end, times);
      valid = parsed.ec == std::errc() && parsed.ptr < end && *parsed.ptr++ == ')';
    }
    DS_CHECK(valid && (parsed.ptr == end || *parsed.ptr == ','),
             "SLURM_STEP_TASKS_PER_NODE={} is not a list such as 2(x3),1", *list);
    if (nodes_before < times) return tasks;
    nodes_before -= times;
    at = parsed.ptr + 1;
  }
  fail("SLURM_NODEID={} is not a node of SLURM_STEP_TASKS_PER_NODE={}", node, *list);
}

void check_below(const Value& value, const Value& bound) {
  DS_CHECK(value.number < bound.number, "{}={} is not below {}={}", value.name, value.number, bound.name,
           bound.number);
}

DiscoveredRank combine(const Starter& starter, const Value& rank, const Value& size,
                       const Value& local_rank) {
  check_below(rank, size);
  check_below(local_rank, size);
  DiscoveredRank found{starter.name, rank.number, local_rank.number, size.number, std::nullopt};
  if (const auto local_size = read(starter.local_size)) {
    check_below(local_rank, *local_size);
    DS_CHECK(local_size->number <= size.number, "{}={} is above {}={}", local_size->name, local_size->number,
             size.name, size.number);
    found.local_world_size = local_size->number;
  } else if (starter.local_size.empty()) {
    found.local_world_size = slurm_tasks_here();
  }
  return found;
}

}  // namespace

std::optional<DiscoveredRank> discover_rank() {
  std::string half_set;
  for (const Starter& starter : starters()) {
    if (starter.condition != nullptr && !env(starter.condition)) continue;
    const auto rank = read(starter.rank), size = read(starter.size), local_rank = read(starter.local_rank);
    if (rank && size && local_rank) return combine(starter, *rank, *size, *local_rank);
    std::vector<std::string> present, missing;
    for (const auto& [value, names] : {std::pair(rank, &starter.rank), std::pair(size, &starter.size),
                                       std::pair(local_rank, &starter.local_rank)}) {
      if (value)
        present.push_back(value->name);
      else
        missing.push_back(fmt::format("{}", fmt::join(*names, " or ")));
    }
    // srun --mpi=pmix and --mpi=pmi2 set some of the second row's variables and all of SLURM's own.
    if (half_set.empty() && !present.empty())
      half_set = fmt::format(
          "{} {} set as by {}, but {} {} not: start through mpirun, srun or the deepspeed command, or set "
          "RANK, "
          "LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT",
          fmt::join(present, ", "), present.size() > 1 ? "are" : "is", starter.name, fmt::join(missing, ", "),
          missing.size() > 1 ? "are" : "is");
  }
  if (!half_set.empty()) fail("{}", half_set);
  return std::nullopt;
}

}  // namespace deepspeed::base
