#include "deepspeed/launcher/launch.h"

#include <fmt/chrono.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <filesystem>

#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/log.h"
#include "deepspeed/launcher/guard.h"
#include "deepspeed/launcher/listen_socket.h"
#include "deepspeed/launcher/machine.h"
#include "deepspeed/launcher/map_rank.h"
#include "deepspeed/launcher/pid_file.h"
#include "deepspeed/launcher/program.h"
#include "deepspeed/launcher/rank_plan.h"
#include "deepspeed/launcher/runner.h"
#include "deepspeed/launcher/runner_plan.h"
#include "deepspeed/launcher/select_hosts.h"
#include "deepspeed/launcher/supervisor.h"
#include "deepspeed/launcher/topology.h"

namespace deepspeed::launcher {
namespace {

// mpirun and srun end ranks that are not this process's own, and need a moment for it.
constexpr std::chrono::seconds kRunnerGrace{10};

std::optional<HostPool> find_hostfile(const LaunchOptions& options) {
  auto pool = read_hostfile(options.hostfile);
  if (!pool && options.hostfile_given)
    base::log_warning("hostfile {} does not exist; only this machine is used", options.hostfile);
  return pool;
}

bool is_this_machine(const std::string& name) {
  char own[256] = "";
  ::gethostname(own, sizeof(own) - 1);
  const std::string host = own;
  return name == "localhost" || name == "127.0.0.1" || name == "::1" || name == host ||
         name == host.substr(0, host.find('.'));
}

/// The host to launch on without a runner: this machine, as in DeepSpeed.
Host only_host(const Selection& selection) {
  const Host& host = selection.hosts.front();
  if (!is_this_machine(host.name))
    base::log_warning("host '{}' is taken to be this machine, the only one used", host.name);
  return host;
}

void make_log_dir(const std::string& dir) {
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  DS_CHECK(!error && std::filesystem::is_directory(dir),
           "--enable_each_rank_log {}: cannot make this folder: {}", dir,
           error ? error.message() : "a file of that name exists");
}

/// Empty unless cores are to be bound.
std::vector<CoreBinding> choose_cores(const LaunchOptions& options, size_t ranks) {
  if (!options.bind_cores) return {};
  DS_CHECK(
      !base::env("KMP_AFFINITY"),
      "KMP_AFFINITY is set, which contradicts --bind_cores_to_rank: it would place threads on other cores; "
      "unset KMP_AFFINITY");
  const Topology topology;
  const std::vector<int> cores =
      options.bind_core_list.empty() ? topology.physical_cores() : options.bind_core_list;
  topology.check_usable(cores);
  const std::vector<NumaNode> nodes = topology.numa_nodes();
  // With one node there is nothing to choose, and containers often forbid the call.
  return bind_cores(cores, static_cast<int>(ranks), nodes.size() > 1 ? nodes : std::vector<NumaNode>{});
}

/// `socket`: nothing for a runner, whose rank 0 binds the port itself.
int supervise(const LaunchOptions& options, const std::vector<RankPlan>& plans,
              std::optional<ListenSocket> socket, SignalWatch& signals) {
  std::optional<PidFile> pid_file;
  if (options.save_pid) pid_file.emplace(::getppid(), ::getpid());
  SupervisorOptions patience;
  if (!socket) patience.grace = kRunnerGrace;
  Supervisor supervisor(signals, patience);
  supervisor.start(plans, socket ? socket->fd() : -1);
  // Rank 0 holds it alone now, so that its death closes the port.
  socket.reset();
  return supervisor.run();
}

int launch_here(const LaunchOptions& options, const Host& host, LaunchFacts facts) {
  const Program program =
      resolve_program(options, own_bin_dir(), base::env("PATH").value_or("/usr/bin:/bin"));
  if (!options.rank_log_dir.empty()) make_log_dir(options.rank_log_dir);
  facts.bindings = choose_cores(options, host.slots.size());
  return run_guarded([&](SignalWatch& signals) {
    if (!options.master_addr.empty()) facts.master_addr = options.master_addr;
    ListenSocket socket(facts.master_addr, options.master_port);
    facts.master_port = socket.port();
    const std::vector<RankPlan> plans = plan_ranks(options, host, program, facts);
    // A program that binds the port itself was only spared a launch that cannot succeed.
    if (!plans.front().gets_socket) socket.close();
    base::log_info("{} rank{} of {} on {}, rendezvous at {}:{}", plans.size(), plans.size() == 1 ? "" : "s",
                   options.program, host.name, facts.master_addr, facts.master_port);
    return supervise(options, plans, std::move(socket), signals);
  });
}

int launch_through_runner(const LaunchOptions& options, const HostPool& hosts, LaunchFacts facts) {
  check_runner_limits(options, hosts);
  facts.bindings = choose_cores(options, hosts.front().slots.size());
  const RankPlan plan = plan_runner(options, hosts, this_machine().accelerator != "cpu", facts);
  base::log_info("{}", fmt::join(plan.argv, " "));
  return run_guarded([&](SignalWatch& signals) { return supervise(options, {plan}, std::nullopt, signals); });
}

}  // namespace

std::string unix_time_now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return fmt::format("{}.{:09}", now.tv_sec, now.tv_nsec);
}

int launch(const LaunchOptions& options, const std::string& start_time) {
  base::set_log_level(options.log_level);
  if (options.map_rank) map_rank(options);
  const std::string visible = base::env("CUDA_VISIBLE_DEVICES").value_or("");
  const Selection selection = select_hosts(options, find_hostfile(options), this_machine(), visible);
  if (!selection.note.empty()) base::log_info("{}", selection.note);
  // Even where one host is left and the launcher is not used: a filter that it cannot honour is a mistake.
  if (options.launcher == "slurm") check_slurm_slots(selection.hosts);
  LaunchFacts facts;
  facts.start_time = start_time;
  facts.log_stamp = fmt::format("{:%Y%m%d%H%M%S}", fmt::localtime(std::time(nullptr)));
  facts.base_environment = base::environment();
  if (options.force_multi || selection.hosts.size() > 1)
    return launch_through_runner(options, selection.hosts, std::move(facts));
  return launch_here(options, only_host(selection), std::move(facts));
}

}  // namespace deepspeed::launcher
