#include "deepspeed/launcher/runner_plan.h"

#include <fmt/format.h>

#include <optional>

#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/launcher/program.h"
#include "deepspeed/launcher/runner.h"

namespace deepspeed::launcher {
namespace {

namespace fs = std::filesystem;

std::string search_path() { return base::env("PATH").value_or("/usr/bin:/bin"); }

/// "openmpi", "mpich" or "" for what cannot be told (Intel MPI's mpirun is a script).
std::string_view family_of(const std::string& mpirun) {
  std::error_code ignored;
  const std::string name = fs::canonical(mpirun, ignored).filename().string();
  if (name == "orterun" || name == "prterun" || name == "mpirun.openmpi") return "openmpi";
  if (name == "mpiexec.hydra" || name == "mpirun.mpich") return "mpich";
  return "";
}

Exports exports_of(const LaunchFacts& facts) {
  std::vector<std::string> environment = facts.base_environment;
  const std::string here = fs::current_path().string();
  const auto python_path = base::env("PYTHONPATH");
  set_variable(environment, "PYTHONPATH", python_path ? here + ":" + *python_path : here);
  Exports exports = exported_variables(environment);
  const std::string name = base::env("DS_ENV_FILE").value_or(".deepspeed_env");
  for (const fs::path& folder : {fs::path(base::env("HOME").value_or("/")), fs::path(".")}) {
    const fs::path file = folder / name;
    std::error_code ignored;
    if (fs::is_regular_file(file, ignored)) add_exports(base::read_text_file(file), file.string(), exports);
  }
  return exports;
}

void set_command(const LaunchOptions& options, RunnerFacts& facts) {
  if (options.launcher == "mpich") {
    facts.mapper = {(own_bin_dir() / "deepspeed").string(), "--map_rank"};
    if (options.module) facts.mapper.push_back("--module");
    if (options.no_python) facts.mapper.push_back("--no_python");
    resolve_program(options, own_bin_dir(), search_path());  // so that a wrong name is an error here, once
    facts.command = {options.program};
  } else {
    const Program program = resolve_program(options, own_bin_dir(), search_path());
    facts.command = program.prefix;
    // A runner looks on PATH alone, which need not hold our own commands.
    facts.command.front() = program.executable;
  }
  facts.command.insert(facts.command.end(), options.arguments.begin(), options.arguments.end());
}

std::string master_address(const LaunchOptions& options, const HostPool& hosts) {
  if (!options.master_addr.empty()) return options.master_addr;
  DS_CHECK(hosts.size() == 1,
           "several hosts need --master_addr: the address by which all of them reach {}, the first",
           hosts.front().name);
  return "127.0.0.1";
}

}  // namespace

std::string find_runner(std::string_view launcher, const std::string& path) {
  if (launcher == "slurm") {
    const auto srun = find_on_path("srun", path);
    DS_CHECK(
        srun && find_on_path("sinfo", path),
        "--launcher slurm needs SLURM's srun and sinfo on PATH, which are not there; install slurm-client");
    return *srun;
  }
  const std::string_view family = launcher == "impi" ? "mpich" : launcher;  // Intel MPI is of MPICH's family
  const char* package = launcher == "openmpi" ? "openmpi-bin" : launcher == "mpich" ? "mpich" : "Intel MPI";
  for (const std::string& name : {std::string("mpirun"), fmt::format("mpirun.{}", family)}) {
    const auto mpirun = find_on_path(name, path);
    if (!mpirun) continue;
    const std::string_view actual = family_of(*mpirun);
    if (actual == family || (actual.empty() && (family != "openmpi" || find_on_path("ompi_info", path))))
      return *mpirun;
  }
  base::fail("--launcher {} needs its mpirun on PATH, and {}; install {} or choose another launcher",
             launcher, find_on_path("mpirun", path) ? "the one there is another MPI's" : "there is none",
             package);
}

RankPlan plan_runner(const LaunchOptions& options, const HostPool& hosts, bool accelerators,
                     const LaunchFacts& facts) {
  check_runner_limits(options, hosts);
  RunnerFacts runner;
  runner.hosts = hosts;
  runner.master_addr = master_address(options, hosts);
  runner.accelerators = accelerators;
  runner.bindings = facts.bindings;
  const std::string executable = find_runner(options.launcher, search_path());
  std::error_code ignored;
  if (options.launcher == "openmpi")
    DS_CHECK(
        fs::is_regular_file(options.hostfile, ignored),
        "--launcher openmpi needs a hostfile, which mpirun reads, and {} does not exist; write lines such as "
        "'localhost slots=2' and give it with --hostfile",
        options.hostfile);
  DS_CHECK(facts.bindings.empty() || find_on_path("numactl", search_path()),
           "--launcher impi binds cores by numactl, which is not on PATH; install numactl");
  runner.exports = exports_of(facts);
  if (options.launcher == "openmpi") {
    set_export(runner.exports, "MASTER_ADDR", runner.master_addr);
    set_export(runner.exports, "MASTER_PORT", std::to_string(options.master_port));
  }
  set_command(options, runner);

  RankPlan plan;
  plan.name = options.launcher == "slurm" ? "srun" : "mpirun";
  plan.reads_input = true;
  plan.executable = executable;
  plan.argv = runner_command(options, runner);
  plan.environment = facts.base_environment;
  for (const char* name : {"DS_RENDEZVOUS_FD", "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_SIZE",
                           "LOCAL_WORLD_SIZE", "CROSS_RANK", "CROSS_SIZE"})
    remove_variable(plan.environment, name);
  set_variable(plan.environment, "MASTER_ADDR", runner.master_addr);
  set_variable(plan.environment, "MASTER_PORT", std::to_string(options.master_port));
  set_variable(plan.environment, "DS_LAUNCH_T0", facts.start_time);
  for (const auto& [name, value] : runner.exports) set_variable(plan.environment, name, value);
  return plan;
}

}  // namespace deepspeed::launcher
