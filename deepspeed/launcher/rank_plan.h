// What each rank of this machine is started with: a pure function of what was asked for.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "deepspeed/launcher/core_binding.h"
#include "deepspeed/launcher/hostfile.h"
#include "deepspeed/launcher/options.h"
#include "deepspeed/launcher/program.h"

namespace deepspeed::launcher {

struct RankPlan {
  std::string name;          // in messages: "rank 0"
  bool reads_input = false;  // keeps the launcher's standard input; the others read /dev/null
  std::string executable;
  std::vector<std::string> argv;
  std::vector<std::string> environment;  // "NAME=value", complete
  bool gets_socket = false;              // inherits the listening socket as DS_RENDEZVOUS_FD
  std::optional<CoreBinding> binding;    // cores and memory to run on
  std::string log_path;                  // file for standard output and error; empty: the launcher's
};

/// What all ranks of one launch share.
struct LaunchFacts {
  std::string master_addr = "127.0.0.1";
  int master_port = 0;
  std::string start_time;  // DS_LAUNCH_T0: seconds since 1970 with nanoseconds, when deepspeed began
  std::string log_stamp;   // YYYYmmddHHMMSS, begins the names of per-rank logs
  std::vector<CoreBinding> bindings;          // one a rank, or none
  std::vector<std::string> base_environment;  // what the ranks' environment is made from
};

/// One plan a slot of `host`, rank = position. Contract of the environment: RANK, LOCAL_RANK, WORLD_SIZE,
/// LOCAL_SIZE, CROSS_RANK, CROSS_SIZE, MASTER_ADDR, MASTER_PORT, CUDA_VISIBLE_DEVICES (all slots),
/// DS_LAUNCH_T0, and for a bound rank OMP_NUM_THREADS, its number of cores. A compiled program's rank 0 gets
/// the socket, unless no_listen.
std::vector<RankPlan> plan_ranks(const LaunchOptions& options, const Host& host, const Program& program,
                                 const LaunchFacts& facts);

/// `environment` with the variable set to `value`: replaced where it stands, else appended.
void set_variable(std::vector<std::string>& environment, const std::string& name, const std::string& value);
void remove_variable(std::vector<std::string>& environment, const std::string& name);

}  // namespace deepspeed::launcher
