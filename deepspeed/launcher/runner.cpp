#include "deepspeed/launcher/runner.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "deepspeed/base/error.h"

namespace deepspeed::launcher {
namespace {

using Words = std::vector<std::string>;

void append(Words& words, const Words& more) { words.insert(words.end(), more.begin(), more.end()); }

std::string total_ranks(const HostPool& hosts) {
  size_t count = 0;
  for (const Host& host : hosts) count += host.slots.size();
  return std::to_string(count);
}

std::string host_names(const HostPool& hosts) {
  Words names;
  for (const Host& host : hosts) names.push_back(host.name);
  return fmt::format("{}", fmt::join(names, ","));
}

size_t ranks_each(const HostPool& hosts, std::string_view launcher) {
  const size_t each = hosts.front().slots.size();
  for (const Host& host : hosts)
    DS_CHECK(host.slots.size() == each,
             "--launcher {} needs the same number of slots on every host, but {} has {} and {} has {}",
             launcher, hosts.front().name, each, host.name, host.slots.size());
  return each;
}

bool names_tcp_interface(const Words& launcher_args) {
  for (size_t i = 0; i + 1 < launcher_args.size(); ++i)
    if ((launcher_args[i] == "-mca" || launcher_args[i] == "--mca") &&
        launcher_args[i + 1] == "btl_tcp_if_include")
      return true;
  return false;
}

Words openmpi_command(const LaunchOptions& options, const RunnerFacts& facts) {
  Words words = {"mpirun", "-n",     total_ranks(facts.hosts), "-hostfile", options.hostfile, "--mca",
                 "btl",    "^openib"};
  if (!names_tcp_interface(options.launcher_args)) append(words, {"--mca", "btl_tcp_if_include", "eth0"});
  append(words, options.launcher_args);
  Exports exports = {{"UCX_TLS", "tcp"}};
  for (const auto& [name, value] : facts.exports) set_export(exports, name, value);
  for (const auto& [name, value] : exports) append(words, {"-x", name + "=" + value});
  append(words, facts.command);
  return words;
}

/// The part that mpich and impi share.
void append_meeting_place(Words& words, const LaunchOptions& options, const RunnerFacts& facts, size_t each) {
  append(words, {"-genv", "MASTER_ADDR", facts.master_addr, "-genv", "MASTER_PORT",
                 std::to_string(options.master_port), "-genv", "WORLD_SIZE", total_ranks(facts.hosts),
                 "-genv", "LOCAL_SIZE", std::to_string(each)});
}

Words mpich_command(const LaunchOptions& options, const RunnerFacts& facts) {
  const size_t each = ranks_each(facts.hosts, "mpich");
  Words words = {"mpirun", "-n", total_ranks(facts.hosts), "-ppn", std::to_string(each)};
  append(words, options.launcher_args);
  for (const auto& [name, value] : facts.exports) append(words, {"-genv", name + "=" + value});
  append_meeting_place(words, options, facts, each);
  append(words, {"-hosts", host_names(facts.hosts)});
  append(words, facts.mapper);
  append(words, facts.command);
  return words;
}

Words impi_command(const LaunchOptions& options, const RunnerFacts& facts) {
  const size_t each = ranks_each(facts.hosts, "impi");
  Words words = {"mpirun", "-ppn", std::to_string(each)};
  append(words, options.launcher_args);
  for (const auto& [name, value] : facts.exports) append(words, {"-genv", name, value});
  if (!facts.bindings.empty())
    append(words, {"-genv", "OMP_NUM_THREADS", std::to_string(facts.bindings.front().cores.size())});
  append_meeting_place(words, options, facts, each);
  append(words, {"-genv", "I_MPI_PIN", "0", "-hosts", host_names(facts.hosts)});
  for (size_t rank = 0; rank < each * facts.hosts.size(); ++rank) {
    if (rank > 0) words.push_back(":");
    append(words, {"-n", "1", "-env", "RANK", std::to_string(rank), "-env", "LOCAL_RANK",
                   std::to_string(rank % each)});
    if (!facts.bindings.empty()) append(words, numactl_command(facts.bindings[rank % each]));
    append(words, facts.command);
  }
  return words;
}

Words slurm_command(const LaunchOptions& options, const RunnerFacts& facts) {
  check_slurm_slots(facts.hosts);
  Words words = {"srun", "-n", total_ranks(facts.hosts)};
  append(words, options.launcher_args);
  if (!options.slurm_comment.empty()) append(words, {"--comment", options.slurm_comment});
  if (!options.include.empty() || !options.exclude.empty())
    append(words, {"--nodelist", host_names(facts.hosts), "--nodes", std::to_string(facts.hosts.size())});
  if (options.num_nodes > 0) append(words, {"--nodes", std::to_string(options.num_nodes)});
  if (options.num_accelerators > 0 && facts.accelerators)
    append(words, {"--gpus-per-node", std::to_string(options.num_accelerators)});
  std::string exports = "--export=ALL";
  // A comma would end the value; ALL takes those variables along with the rest of the environment.
  for (const auto& [name, value] : facts.exports)
    if (value.find(',') == std::string::npos) exports += "," + name + "=" + value;
  words.push_back(exports);
  append(words, facts.command);
  return words;
}

}  // namespace

void check_runner_limits(const LaunchOptions& options, const HostPool& hosts) {
  const std::string& launcher = options.launcher;
  DS_CHECK(launcher != "pdsh",
           "not available yet: --launcher pdsh, the default for several hosts; choose openmpi, mpich, impi "
           "or slurm");
  DS_CHECK(launcher != "mvapich",
           "not available: --launcher mvapich (MVAPICH2-GDR); choose openmpi, mpich, impi or slurm");
  if (launcher == "slurm") {
    check_slurm_slots(hosts);
  } else {
    DS_CHECK(options.include.empty() && options.exclude.empty(),
             "--launcher {} cannot choose hosts or slots; leave --include and --exclude out and name them in "
             "the hostfile",
             launcher);
    DS_CHECK(
        options.num_nodes == -1 && options.num_accelerators == -1,
        "--launcher {} cannot limit hosts or ranks; leave --num_nodes and --num_accelerators out and give "
        "slots in the hostfile",
        launcher);
  }
  DS_CHECK(!options.bind_cores || launcher == "impi",
           "--bind_cores_to_rank has no effect with --launcher {}; bind through --launcher_args (mpirun: "
           "--bind-to core, srun: --cpu-bind=cores)",
           launcher);
  DS_CHECK(options.rank_log_dir.empty(),
           "--enable_each_rank_log has no effect with --launcher {}; use the runner's own flag in "
           "--launcher_args (mpirun: --output-filename, srun: --output)",
           launcher);
  DS_CHECK(options.master_port > 0, "--master_port 0 cannot be told to ranks that {} starts; give a port",
           launcher);
}

void check_slurm_slots(const HostPool& hosts) {
  for (const Host& host : hosts)
    for (size_t i = 0; i < host.slots.size(); ++i)
      DS_CHECK(host.slots[i] == static_cast<int>(i),
               "--launcher slurm cannot choose slots ({} of {}); choose whole hosts, or the first N slots of "
               "every host",
               fmt::join(host.slots, ","), host.name);
  if (!hosts.empty()) ranks_each(hosts, "slurm");
}

std::vector<std::string> runner_command(const LaunchOptions& options, const RunnerFacts& facts) {
  if (options.launcher == "openmpi") return openmpi_command(options, facts);
  if (options.launcher == "mpich") return mpich_command(options, facts);
  if (options.launcher == "impi") return impi_command(options, facts);
  if (options.launcher == "slurm") return slurm_command(options, facts);
  base::fail("--launcher {} has no command line here", options.launcher);
}

}  // namespace deepspeed::launcher
