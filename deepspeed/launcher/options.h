// The command line of `deepspeed`: DeepSpeed's flags, then a program, then the program's own arguments.
#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/base/log.h"

namespace deepspeed::launcher {

/// What was asked for, checked for everything that the words alone can tell. Flags of parts that are not
/// built yet have been refused, so they have no member.
struct LaunchOptions {
  std::string hostfile = "/job/hostfile";
  bool hostfile_given = false;
  std::string include, exclude;
  int num_nodes = -1;             // -1: all
  int num_accelerators = -1;      // per host, ids 0..N-1; -1: the host's slots
  std::string master_addr;        // empty: 127.0.0.1
  int master_port = 29500;        // 0: any free one
  bool force_multi = false;       // through `launcher` even on one host
  std::string launcher = "pdsh";  // or openmpi, mpich, impi, slurm, mvapich
  std::vector<std::string> launcher_args;
  std::string slurm_comment;
  bool map_rank = false;       // see map_rank.h
  bool module = false;         // the program is a Python module's name
  bool no_python = false;      // run a .py file itself
  bool no_local_rank = false;  // do not pass --local_rank=N
  bool no_listen = false;      // leave the port for the program to bind
  bool save_pid = false;
  std::string rank_log_dir;         // empty: output goes to the terminal
  bool bind_cores = false;          // give every rank cores of its own
  std::vector<int> bind_core_list;  // the cores to share out; empty: every physical core
  base::LogLevel log_level = base::LogLevel::kInfo;
  std::string program;
  std::vector<std::string> arguments;
};

/// Parses argv. Nothing when --help or --version was answered on `out`. Every mistake, and every flag of a
/// part that is not built ("not available yet: ..."), is an Error of one line.
std::optional<LaunchOptions> parse_options(int argc, const char* const* argv, std::ostream& out);

}  // namespace deepspeed::launcher
