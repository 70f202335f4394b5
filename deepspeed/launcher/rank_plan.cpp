#include "deepspeed/launcher/rank_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>

namespace deepspeed::launcher {

void remove_variable(std::vector<std::string>& environment, const std::string& name) {
  std::erase_if(environment, [&](const std::string& entry) { return entry.starts_with(name + "="); });
}

void set_variable(std::vector<std::string>& environment, const std::string& name, const std::string& value) {
  remove_variable(environment, name);
  environment.push_back(name + "=" + value);
}

std::vector<RankPlan> plan_ranks(const LaunchOptions& options, const Host& host, const Program& program,
                                 const LaunchFacts& facts) {
  const std::string size = std::to_string(host.slots.size());
  std::vector<std::string> shared = facts.base_environment;
  remove_variable(shared, "DS_RENDEZVOUS_FD");
  set_variable(shared, "CUDA_VISIBLE_DEVICES", fmt::format("{}", fmt::join(host.slots, ",")));
  set_variable(shared, "MASTER_ADDR", facts.master_addr);
  set_variable(shared, "MASTER_PORT", std::to_string(facts.master_port));
  set_variable(shared, "WORLD_SIZE", size);
  set_variable(shared, "LOCAL_SIZE", size);
  set_variable(shared, "CROSS_RANK", "0");
  set_variable(shared, "CROSS_SIZE", "1");
  set_variable(shared, "DS_LAUNCH_T0", facts.start_time);
  std::vector<RankPlan> plans;
  for (int rank = 0; rank < static_cast<int>(host.slots.size()); ++rank) {
    RankPlan plan{fmt::format("rank {}", rank), rank == 0, program.executable, program.prefix, shared};
    set_variable(plan.environment, "RANK", std::to_string(rank));
    set_variable(plan.environment, "LOCAL_RANK", std::to_string(rank));
    if (!facts.bindings.empty()) {
      plan.binding = facts.bindings[static_cast<size_t>(rank)];
      set_variable(plan.environment, "OMP_NUM_THREADS", std::to_string(plan.binding->cores.size()));
    }
    if (!options.no_local_rank) plan.argv.push_back(fmt::format("--local_rank={}", rank));
    plan.argv.insert(plan.argv.end(), options.arguments.begin(), options.arguments.end());
    plan.gets_socket = rank == 0 && !program.binds_port_itself && !options.no_listen;
    if (!options.rank_log_dir.empty())
      plan.log_path =
          (std::filesystem::path(options.rank_log_dir) / fmt::format("{}_rank{}.log", facts.log_stamp, rank))
              .string();
    plans.push_back(std::move(plan));
  }
  return plans;
}

}  // namespace deepspeed::launcher
