// Collectives of two processes through shared memory and over Gloo, in turn: time an operation, and the
// processor time both processes spend on it, which is what computing threads lose.   comm_bench [--json]
// [pairs]
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string_view>

#include "deepspeed/comm/rendezvous.h"
#include "deepspeed/comm/socket.h"

namespace {

using namespace deepspeed;

struct Cost {
  double wall = 0, cpu = 0;  // microseconds an operation
};

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Cost measure(comm::Group& group, const std::function<void(comm::Group&)>& operation, int repetitions) {
  operation(group);
  group.barrier();
  const double cpu = cpu_seconds();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < repetitions; ++i) operation(group);
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  auto spent = at::tensor({cpu_seconds() - cpu}, at::kDouble);
  group.all_reduce(spent);
  return {1e6 * wall.count() / repetitions, 1e6 * spent.item<double>() / repetitions};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Case {
  const char* name;
  int64_t bytes;
  std::function<void(comm::Group&)> operation;
};

// `bytes` is the length of the whole: what every rank has summed, scattered or gathered.
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const int64_t bytes : {int64_t{1} << 10, int64_t{1} << 20, int64_t{1} << 26}) {
    const auto whole = at::ones({bytes / 4}), half = at::ones({bytes / 8});
    all.push_back({"all_reduce", bytes, [=](comm::Group& g) { g.all_reduce(whole, comm::ReduceOp::kSum); }});
    all.push_back({"reduce_scatter", bytes,
                   [=](comm::Group& g) { g.reduce_scatter_tensor(half, whole, comm::ReduceOp::kSum); }});
    all.push_back({"all_gather", bytes, [=](comm::Group& g) { g.all_gather_into_tensor(whole, half); }});
  }
  return all;
}

void report(const Case& c, const std::vector<Cost>& shm, const std::vector<Cost>& gloo, bool json) {
  const auto of = [](const std::vector<Cost>& costs, double Cost::*field) {
    std::vector<double> values;
    for (const Cost& cost : costs) values.push_back(cost.*field);
    return median(values);
  };
  std::vector<double> wall_ratios, cpu_ratios;
  for (size_t i = 0; i < shm.size(); ++i) {
    wall_ratios.push_back(gloo[i].wall / shm[i].wall);
    cpu_ratios.push_back(gloo[i].cpu / shm[i].cpu);
  }
  const char* const format =
      json ? R"({{"name":"{}_{}","unit":"us","ours":{:.1f},"rival":{:.1f},"ratio":{:.2f},)"
             R"("ours_cpu":{:.1f},"rival_cpu":{:.1f},"cpu_ratio":{:.2f},)"
             R"("rival_name":"Gloo"}})"
             "\n"
           : "{:<16}{:>10}{:>12.1f}{:>12.1f}{:>8.2f}x{:>12.1f}{:>12.1f}{:>8.2f}x\n";
  fmt::print(fmt::runtime(format), c.name, c.bytes, of(shm, &Cost::wall), of(gloo, &Cost::wall),
             median(wall_ratios), of(shm, &Cost::cpu), of(gloo, &Cost::cpu), median(cpu_ratios));
  std::fflush(stdout);
}

void run(int rank, int port, int fd, int pairs, bool json) {
  comm::Rendezvous r;
  r.rank = r.local_rank = rank;
  r.world_size = r.local_world_size = 2;
  r.master_addr = "127.0.0.1";
  r.master_port = port;
  r.listen_fd = rank == 0 ? fd : -1;
  const auto world = comm::init_world(r, comm::Backend::kShm);
  // One world a process suffices for the rendezvous, so Gloo gets a port of its own.
  comm::Rendezvous other = r;
  const int other_fd = rank == 0 ? comm::listen_on("127.0.0.1", 0) : -1;
  other.listen_fd = other_fd;
  other.master_port = std::atoi(
      world->broadcast_object_list({rank == 0 ? std::to_string(comm::listening_port(other_fd)) : "0"}, 0)[0]
          .c_str());
  const auto gloo = comm::init_world(other, comm::Backend::kGloo);
  if (rank == 0 && !json)
    fmt::print("{:<16}{:>10}{:>12}{:>12}{:>9}{:>12}{:>12}{:>9}\n", "", "bytes", "shm us", "Gloo us", "",
               "shm cpu us", "Gloo cpu us", "");
  for (const Case& c : cases()) {
    const int repetitions = c.bytes > (1 << 22) ? 2 : c.bytes > (1 << 16) ? 40 : 200;
    std::vector<Cost> ours, theirs;
    for (int pair = 0; pair < pairs; ++pair) {
      const bool first = pair % 2 == 0;
      if (first) ours.push_back(measure(*world, c.operation, repetitions));
      theirs.push_back(measure(*gloo, c.operation, repetitions));
      if (!first) ours.push_back(measure(*world, c.operation, repetitions));
    }
    if (rank == 0) report(c, ours, theirs, json);
  }
  world->barrier();
}

}  // namespace

int main(int argc, char** argv) {
  int pairs = 7;
  bool json = false;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--json")
      json = true;
    else
      pairs = std::max(1, std::atoi(argv[i]));
  }
  const int fd = comm::listen_on("127.0.0.1", 0);
  const int port = comm::listening_port(fd);
  const pid_t child = fork();
  if (child < 0) return 1;
  if (child == 0) close(fd);
  run(child == 0 ? 1 : 0, port, fd, pairs, json);
  if (child == 0) return 0;
  int status = 0;
  waitpid(child, &status, 0);
  return status == 0 ? 0 : 1;
}
