#include "deepspeed/launcher/launch.h"

#include <fmt/chrono.h>
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
#include "deepspeed/launcher/pid_file.h"
#include "deepspeed/launcher/program.h"
#include "deepspeed/launcher/rank_plan.h"
#include "deepspeed/launcher/select_hosts.h"
#include "deepspeed/launcher/supervisor.h"
#include "deepspeed/launcher/topology.h"

namespace deepspeed::launcher {
namespace {

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

/// The host to launch on. One host is this machine, as in DeepSpeed; several need a launcher that reaches the
/// others.
Host only_host(const Selection& selection) {
  DS_CHECK(selection.hosts.size() == 1,
           "not available yet: launching on several hosts ({} and {} more); choose one with --include or "
           "--num_nodes 1",
           selection.hosts.front().name, selection.hosts.size() - 1);
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

int supervise(const LaunchOptions& options, const std::vector<RankPlan>& plans, ListenSocket socket,
              SignalWatch& signals) {
  std::optional<PidFile> pid_file;
  if (options.save_pid) pid_file.emplace(::getppid(), ::getpid());
  Supervisor supervisor(signals, {});
  supervisor.start(plans, socket.fd());
  // Rank 0 holds it alone now, so that its death closes the port.
  socket.close();
  return supervisor.run();
}

}  // namespace

std::string unix_time_now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return fmt::format("{}.{:09}", now.tv_sec, now.tv_nsec);
}

int launch(const LaunchOptions& options, const std::string& start_time) {
  base::set_log_level(options.log_level);
  const std::string visible = base::env("CUDA_VISIBLE_DEVICES").value_or("");
  const Selection selection = select_hosts(options, find_hostfile(options), this_machine(), visible);
  if (!selection.note.empty()) base::log_info("{}", selection.note);
  const Host host = only_host(selection);
  const Program program =
      resolve_program(options, own_bin_dir(), base::env("PATH").value_or("/usr/bin:/bin"));
  if (!options.rank_log_dir.empty()) make_log_dir(options.rank_log_dir);

  const std::vector<CoreBinding> bindings = choose_cores(options, host.slots.size());

  return run_guarded([&](SignalWatch& signals) {
    LaunchFacts facts;
    facts.bindings = bindings;
    if (!options.master_addr.empty()) facts.master_addr = options.master_addr;
    ListenSocket socket(facts.master_addr, options.master_port);
    facts.master_port = socket.port();
    facts.start_time = start_time;
    facts.log_stamp = fmt::format("{:%Y%m%d%H%M%S}", fmt::localtime(std::time(nullptr)));
    facts.base_environment = base::environment();
    const std::vector<RankPlan> plans = plan_ranks(options, host, program, facts);
    // A program that binds the port itself was only spared a launch that cannot succeed.
    if (!plans.front().gets_socket) socket.close();
    base::log_info("{} rank{} of {} on {}, rendezvous at {}:{}", plans.size(), plans.size() == 1 ? "" : "s",
                   options.program, host.name, facts.master_addr, facts.master_port);
    return supervise(options, plans, std::move(socket), signals);
  });
}

}  // namespace deepspeed::launcher
