#include "deepspeed/launcher/options.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <ostream>

#include "deepspeed/base/usage_error.h"
#include "deepspeed/launcher/core_list.h"
#include "deepspeed/launcher/hostfile.h"
#include "deepspeed/launcher/shell_words.h"

namespace deepspeed::launcher {
namespace {

constexpr const char* kDescription =
    "Starts PROGRAM once per rank. Flags of `deepspeed` come before PROGRAM; all that "
    "follows is PROGRAM's.";

constexpr const char* kFooter = R"(
PROGRAM is a path, a command beside `deepspeed` (ds_train, ...), or a command on PATH; a .py file runs through python3 -u.
Every rank gets RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_SIZE, CROSS_RANK, CROSS_SIZE, MASTER_ADDR, MASTER_PORT, and --local_rank=N as
its first argument. `deepspeed` itself listens on MASTER_PORT and hands the socket to rank 0 (DS_RENDEZVOUS_FD), except where
the program is a script or a Python interpreter, which binds the port by itself. Through --launcher openmpi and slurm ranks get
MASTER_ADDR and MASTER_PORT and find the rest in mpirun's or srun's own variables, as ds_train does.
When a rank fails, the others are stopped and its exit code (128+N for signal N) is returned.

Examples:
  deepspeed --num_accelerators 2 ds_train --model gpt2 --data text.bin --deepspeed_config ds_config.json
  deepspeed --include localhost:0,3 --master_port 29501 ./my_train --epochs 3
  deepspeed -H hosts --include worker-0:0,1 ds_train ...
  deepspeed --num_accelerators 4 --enable_each_rank_log logs train.py --lr 1e-4
  deepspeed --num_accelerators 2 --bind_cores_to_rank --bind_core_list 0-7 ds_train ...
  deepspeed -H hosts --launcher openmpi --force_multi --launcher_args "--bind-to core" ds_train ...
A compiled program may also be started by mpirun or srun alone: mpirun -n 2 ds_train ...)";

/// What the flags of parts that are not built yet, or that steer such parts, said.
struct OtherFlags {
  std::string num_nodes = "-1";
  std::string launcher_args, autotuning, bind_core_list, venv_script;
  int node_rank = -1, ssh_port = 0, min_elastic_nodes = -1, max_elastic_nodes = -1;
  bool no_ssh = false, no_ssh_check = false, elastic_training = false, nvlink_pairs = false;
  std::string log_level = "info";
  bool quiet = false;
};

class UsageFormatter : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: deepspeed [options] PROGRAM [arguments of PROGRAM]\n";
  }
};

void add_placement_flags(CLI::App& app, LaunchOptions& o, OtherFlags& other) {
  app.add_option("-H,--hostfile", o.hostfile, "Hosts, one 'NAME slots=N' a line (default /job/hostfile)")
      ->type_name("FILE");
  app.add_option("-i,--include", o.include, "Hosts and slots to use: NAME[:SLOT[,SLOT...]][@NAME...]")
      ->type_name("SPEC");
  app.add_option("-e,--exclude", o.exclude, "Hosts and slots not to use, written likewise")
      ->type_name("SPEC");
  app.add_option("--num_nodes", other.num_nodes, "Use the first N hosts")->type_name("N");
  app.add_option("--num_gpus,--num_accelerators", o.num_accelerators, "Ranks on each host")->type_name("N");
  app.add_option("--master_port", o.master_port, "Port of the rendezvous, 0 for any free one (default 29500)")
      ->type_name("PORT");
  app.add_option("--master_addr", o.master_addr,
                 "Address of the rendezvous (default 127.0.0.1; needed with several hosts)")
      ->type_name("ADDR");
}

void add_program_flags(CLI::App& app, LaunchOptions& o, OtherFlags& other) {
  app.add_flag("--module", o.module, "PROGRAM is a Python module: python3 -u -m PROGRAM");
  app.add_flag("--no_python", o.no_python, "Run a .py file itself instead of through python3");
  app.add_flag("--no_local_rank", o.no_local_rank, "Do not pass --local_rank=N to the program");
  app.add_flag("--no_listen", o.no_listen, "Leave MASTER_PORT for the program to bind; no DS_RENDEZVOUS_FD");
  app.add_flag("--save_pid", o.save_pid,
               "Write the launcher's process id to /tmp/PID.deepspeed while it runs");
  app.add_option("--enable_each_rank_log", o.rank_log_dir, "Send each rank's output to DIR/TIME_rankN.log")
      ->type_name("DIR");
  app.add_flag("--bind_cores_to_rank", o.bind_cores,
               "Share physical cores and the memory beside them out among the ranks; sets OMP_NUM_THREADS");
  app.add_option("--bind_core_list", other.bind_core_list, "The cores to share out instead, e.g. 1,3-5,7")
      ->type_name("LIST");
  app.add_option("--log_level", other.log_level, "debug, info, warning, error or critical (default info)")
      ->type_name("LEVEL");
  app.add_flag("-q,--quiet", other.quiet, "The same as --log_level error");
}

void add_runner_flags(CLI::App& app, LaunchOptions& o, OtherFlags& other) {
  const std::string group = "Through mpirun or srun (several hosts, or one with --force_multi)";
  app.add_option("--launcher", o.launcher,
                 "openmpi, mpich, impi or slurm (pdsh, the default: not available yet)")
      ->type_name("NAME")
      ->group(group);
  app.add_option("--launcher_args", other.launcher_args,
                 "Words for mpirun or srun, split as a shell would and run by none")
      ->type_name("WORDS")
      ->group(group);
  app.add_flag("--force_multi", o.force_multi, "Use the launcher for one host too")->group(group);
  app.add_option("--slurm_comment", o.slurm_comment, "Comment for srun")->type_name("TEXT")->group(group);
  app.add_flag("--map_rank", o.map_rank)->group("");
}

void add_other_flags(CLI::App& app, OtherFlags& other) {
  const std::string group =
      "Several machines, tuning, elasticity (not available yet: accepted, without effect on one machine, or "
      "refused)";
  app.add_option("--node_rank", other.node_rank, "This machine's number, with --no_ssh")->group(group);
  app.add_flag("--no_ssh", other.no_ssh, "`deepspeed` is started on every machine by hand")->group(group);
  app.add_flag("--no_ssh_check", other.no_ssh_check, "Do not try ssh first")->group(group);
  app.add_option("--ssh_port", other.ssh_port, "Port of ssh")->group(group);
  app.add_option("--venv_script", other.venv_script, "File to source on every machine")->group(group);
  app.add_option("--autotuning", other.autotuning, "tune or run")->group(group);
  app.add_flag("--detect_nvlink_pairs", other.nvlink_pairs, "Order GPUs by NVLink")->group(group);
  app.add_flag("--elastic_training", other.elastic_training, "Ranks may come and go")->group(group);
  app.add_option("--min_elastic_nodes", other.min_elastic_nodes, "Fewest hosts")->group(group);
  app.add_option("--max_elastic_nodes", other.max_elastic_nodes, "Most hosts")->group(group);
}

int parse_num_nodes(const std::string& text) {
  int value = 0;
  auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status == std::errc() && end == text.data() + text.size()) return value;
  DS_CHECK(text.find(':') == std::string::npos,
           "not available yet: --num_nodes {} (MIN:MAX is for elastic training)", text);
  base::fail("--num_nodes '{}' is not a whole number", text);
}

void refuse_unbuilt(const OtherFlags& other) {
  DS_CHECK(!other.no_ssh, "not available yet: --no_ssh (launching on several machines)");
  DS_CHECK(
      !other.elastic_training && other.min_elastic_nodes == -1 && other.max_elastic_nodes == -1,
      "not available yet: elastic training (--elastic_training, --min_elastic_nodes, --max_elastic_nodes)");
  DS_CHECK(other.autotuning.empty(), "not available yet: --autotuning {}", other.autotuning);
  DS_CHECK(!other.nvlink_pairs, "not available yet: --detect_nvlink_pairs");
}

void check_values(const LaunchOptions& o, const OtherFlags& other) {
  constexpr std::array kLaunchers = {"pdsh", "openmpi", "mpich", "impi", "slurm", "mvapich"};
  DS_CHECK(std::ranges::find(kLaunchers, o.launcher) != kLaunchers.end(),
           "--launcher '{}' is not one of pdsh, openmpi, mpich, impi, slurm, mvapich", o.launcher);
  DS_CHECK(other.autotuning.empty() || other.autotuning == "tune" || other.autotuning == "run",
           "--autotuning '{}' is not one of tune, run", other.autotuning);
  DS_CHECK(o.include.empty() || o.exclude.empty(),
           "--include and --exclude cannot be given together; choose one");
  DS_CHECK(!(o.module && o.no_python), "--module and --no_python contradict each other; give one of them");
  DS_CHECK(o.num_accelerators == -1 || (o.num_accelerators >= 1 && o.num_accelerators <= kMaxSlots),
           "--num_accelerators {} is not between 1 and {}", o.num_accelerators, kMaxSlots);
  DS_CHECK(o.num_nodes == -1 || o.num_nodes >= 1, "--num_nodes {} is not at least 1", o.num_nodes);
  DS_CHECK(o.master_port >= 0 && o.master_port <= 65535, "--master_port {} is not between 0 and 65535",
           o.master_port);
}

/// What `parse` makes of a flag's text; its errors name the flag.
template <class Parse>
auto parse_value(const char* flag, const std::string& text, Parse parse) {
  try {
    return parse(text);
  } catch (const base::Error& error) {
    base::fail("{}: {}", flag, error.what());
  }
}

/// CLI11 leaves the first word that it does not know, and all that follow, in `rest`.
void take_program(std::vector<std::string> rest, LaunchOptions& o) {
  if (!rest.empty() && rest.front() == "--") rest.erase(rest.begin());
  if (rest.empty())
    throw base::UsageError(
        "no program given; write: deepspeed [options] PROGRAM [arguments] (deepspeed --help shows examples)");
  if (rest.front().size() >= 2 && rest.front().front() == '-')
    throw base::UsageError(fmt::format(
        "'{}' is not an option of deepspeed; options of the program come after its name (see deepspeed "
        "--help)",
        rest.front()));
  DS_CHECK(!rest.front().empty(),
           "the program's name is empty; write: deepspeed [options] PROGRAM [arguments]");
  o.program = rest.front();
  o.arguments.assign(rest.begin() + 1, rest.end());
}

}  // namespace

std::optional<LaunchOptions> parse_options(int argc, const char* const* argv, std::ostream& out) {
  LaunchOptions o;
  OtherFlags other;
  CLI::App app(kDescription, "deepspeed");
  app.formatter(std::make_shared<UsageFormatter>());
  app.footer(kFooter);
  app.prefix_command();
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.set_version_flag("--version", "deepspeed " DS_VERSION);
  add_placement_flags(app, o, other);
  add_program_flags(app, o, other);
  add_runner_flags(app, o, other);
  add_other_flags(app, other);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& answered) {
    app.exit(answered, out, out);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    std::string what = error.what();
    std::ranges::replace(what, '\n', ' ');
    throw base::UsageError(what + " (see deepspeed --help)");
  }
  o.hostfile_given = app.count("--hostfile") > 0;
  o.num_nodes = parse_num_nodes(other.num_nodes);
  o.log_level = base::parse_log_level(other.quiet ? "error" : other.log_level);
  if (o.rank_log_dir == "None") o.rank_log_dir.clear();
  o.launcher = CLI::detail::to_lower(o.launcher);
  o.launcher_args = parse_value("--launcher_args", other.launcher_args, split_words);
  if (app.count("--bind_core_list") > 0) {
    DS_CHECK(o.bind_cores, "--bind_core_list {} has no effect without --bind_cores_to_rank; give both",
             other.bind_core_list);
    o.bind_core_list = parse_value("--bind_core_list", other.bind_core_list, parse_core_list);
  }
  check_values(o, other);
  refuse_unbuilt(other);
  take_program(app.remaining(), o);
  return o;
}

}  // namespace deepspeed::launcher
