// What ZeRO++ and MiCS make of several hosts: ranks that are told how many of them share one.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <sstream>
#include <thread>

#include "deepspeed/comm/socket.h"
#include "deepspeed/comm/traffic.h"
#include "tests/engine/placings.h"

extern char** environ;

namespace deepspeed::engine {
namespace {

struct Outcome {
  std::vector<at::Tensor> weights;
  std::vector<double> losses;
  int64_t leaving = 0;  // bytes that rank 0 hands to ranks 2, 3 and so on
};

std::string config(const std::string& keys, const std::string& more = "") {
  return fmt::format(R"({{"train_micro_batch_size_per_gpu": 2, "gradient_clipping": 0.5,
    "optimizer": {{"type": "AdamW", "params": {{"lr": 1e-2}}}},
    "zero_optimization": {{"stage": 3, "stage3_param_persistence_threshold": 0, "reduce_bucket_size": 5000,
                           "stage3_max_reuse_distance": 0{}}}{}}})",
                     keys, more);
}

Outcome train_as(const comm::GroupPtr& group, const std::string& text, int steps = 5) {
  comm::Traffic traffic;
  group->set_observer(traffic.observer());
  Outcome outcome;
  {
    TinyRun run(group, text);
    traffic.clear();
    outcome.losses = run.steps(steps);
    outcome.leaving = traffic.sent([&](const comm::Traffic::Flow& flow) {
      return flow.to / 2 != group->rank() / 2 && !flow.group.ends_with("/agreement");
    });
    outcome.weights = run.weights();
  }
  group->set_observer(nullptr);
  return outcome;
}

// Rank 0's outcome, ranks being threads that are told of hosts of so many.
Outcome train_on_hosts(int world, int per_host, const std::string& text) {
  const int fd = comm::listen_on("127.0.0.1", 0);
  std::vector<Outcome> outcomes(static_cast<size_t>(world));
  std::vector<std::string> errors(static_cast<size_t>(world));
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < world; ++rank)
    ranks.emplace_back([&, rank, port = comm::listening_port(fd)] {
      try {
        const auto group = comm::init_world({.rank = rank,
                                             .local_rank = rank % per_host,
                                             .world_size = world,
                                             .local_world_size = per_host,
                                             .master_addr = "127.0.0.1",
                                             .master_port = port,
                                             .listen_fd = rank == 0 ? fd : -1,
                                             .timeout = std::chrono::seconds(30)});
        EXPECT_EQ(group->ranks_per_host(), per_host);
        outcomes[static_cast<size_t>(rank)] = train_as(group, text);
        group->barrier();
      } catch (const std::exception& error) {
        errors[static_cast<size_t>(rank)] = error.what();
      }
    });
  for (auto& rank : ranks) rank.join();
  for (const std::string& error : errors) EXPECT_EQ(error, "");
  for (const Outcome& other : outcomes) EXPECT_TRUE(same_bits(other.weights, outcomes[0].weights));
  return outcomes[0];
}

constexpr const char* kBf16 = R"(, "bf16": {"enabled": true})";

class Hosts : public Placings {
 protected:
  std::string on_disk() const {
    return fmt::format(R"(, "offload_param": {{"device": "nvme", "nvme_path": "{}", "max_in_cpu": 500}})",
                       (folder / "nvme").string());
  }
};

// A shard group over two hosts: each part crosses once instead of once for either rank there.
TEST_F(Hosts, MicsGathersByHostsWithTheSameBitsAndFewerBytesBetweenThem) {
  for (const std::string& more :
       {std::string(), std::string(kBf16), std::string(R"(, "zero_quantized_weights": true)")}) {
    const bool quantized = more.find("quantized") != std::string::npos;
    const std::string keys = quantized ? more : "", precision = quantized ? "" : more;
    const auto mics = [&](const char* by_hosts, const std::string& disk = "") {
      return config(fmt::format(R"(, "mics_shard_size": 4, "mics_hierarchical_params_gather": {}{}{})",
                                by_hosts, keys, disk),
                    precision);
    };
    const Outcome flat = train_on_hosts(4, 2, mics("false")), by_hosts = train_on_hosts(4, 2, mics("true"));
    EXPECT_EQ(by_hosts.losses, flat.losses) << more;
    EXPECT_TRUE(same_bits(by_hosts.weights, flat.weights)) << more;
    // Gradients stay as they are.
    EXPECT_LT(by_hosts.leaving, (quantized ? 0.9 : 0.75) * static_cast<double>(flat.leaving)) << more;
    EXPECT_LT(by_hosts.losses.back(), by_hosts.losses.front());
    const Outcome stored = train_on_hosts(4, 2, mics("true", on_disk()));
    EXPECT_EQ(stored.losses, flat.losses) << more;
    EXPECT_TRUE(same_bits(stored.weights, flat.weights)) << more;
    EXPECT_EQ(stored.leaving, by_hosts.leaving);
    // On one host there is nothing to gather by.
    EXPECT_EQ(train_on_hosts(4, 4, mics("true")).leaving, flat.leaving);
  }
}

TEST_F(Hosts, MicsGathersByHostsWithinEveryReplica) {
  const std::string flat = config(R"(, "mics_shard_size": 4)"),
                    by_hosts = config(R"(, "mics_shard_size": 4, "mics_hierarchical_params_gather": true)");
  const Outcome a = train_on_hosts(8, 2, flat), b = train_on_hosts(8, 2, by_hosts);
  EXPECT_EQ(a.losses, b.losses);
  EXPECT_TRUE(same_bits(a.weights, b.weights));
  EXPECT_LT(b.leaving, a.leaving);
}

constexpr const char* kQuantized = R"(, "zero_quantized_gradients": true)";

// One of the processes that the next test starts.
TEST(LocalWorldSize, DISABLED_Rank) {
  const auto group = comm::init_world(comm::rendezvous_from_env());
  const Outcome outcome = train_as(group, config(kQuantized));
  if (group->rank() == 0) {
    std::printf("RESULT %ld", static_cast<long>(outcome.leaving));
    for (const double loss : outcome.losses) std::printf(" %a", loss);
    std::printf("\n");
  }
  group->barrier();
}

// The processes' output, both streams of all of them.
std::string run_processes(int world, int per_host) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  const int probe = comm::listen_on("127.0.0.1", 0);
  const int port = comm::listening_port(probe);
  ::close(probe);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (const int stream : {1, 2}) posix_spawn_file_actions_adddup2(&actions, ends[1], stream);
  posix_spawn_file_actions_addclose(&actions, ends[0]);
  std::vector<pid_t> children;
  for (int rank = 0; rank < world; ++rank) {
    std::vector<std::string> words = {"rank", "--gtest_filter=LocalWorldSize.DISABLED_Rank",
                                      "--gtest_also_run_disabled_tests"};
    std::vector<std::string> variables = {fmt::format("RANK={}", rank),
                                          fmt::format("LOCAL_RANK={}", rank % per_host),
                                          fmt::format("WORLD_SIZE={}", world),
                                          fmt::format("LOCAL_WORLD_SIZE={}", per_host),
                                          "MASTER_ADDR=127.0.0.1",
                                          fmt::format("MASTER_PORT={}", port)};
    std::vector<char*> argv, environment;
    for (auto& word : words) argv.push_back(word.data());
    for (auto& variable : variables) environment.push_back(variable.data());
    for (char** variable = environ; *variable != nullptr; ++variable) environment.push_back(*variable);
    argv.push_back(nullptr), environment.push_back(nullptr);
    pid_t child = 0;
    EXPECT_EQ(::posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environment.data()), 0);
    children.push_back(child);
  }
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  std::string output;
  std::array<char, 4096> buffer{};
  for (ssize_t n; (n = ::read(ends[0], buffer.data(), buffer.size())) > 0;)
    output.append(buffer.data(), static_cast<size_t>(n));
  ::close(ends[0]);
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << output;
  }
  return output;
}

TEST(LocalWorldSize, IsTheHostOfQuantizedGradients) {
  Outcome by_size[2];
  for (const int per_host : {2, 4}) {
    const std::string output = run_processes(4, per_host);
    const size_t at = output.find("RESULT ");
    ASSERT_NE(at, std::string::npos) << output;
    std::istringstream line(output.substr(at + 7, output.find('\n', at) - at - 7));
    Outcome seen;
    line >> seen.leaving;
    for (std::string loss; line >> loss;) seen.losses.push_back(std::strtod(loss.c_str(), nullptr));
    const Outcome wanted = train_on_hosts(4, per_host, config(kQuantized));
    EXPECT_EQ(seen.losses, wanted.losses) << "hosts of " << per_host;
    EXPECT_EQ(seen.leaving, wanted.leaving) << "hosts of " << per_host;
    by_size[per_host == 4] = seen;
  }
  EXPECT_NE(by_size[0].losses, by_size[1].losses);  // rounded once more between hosts
  EXPECT_LT(by_size[0].leaving, by_size[1].leaving);
}

}  // namespace
}  // namespace deepspeed::engine
