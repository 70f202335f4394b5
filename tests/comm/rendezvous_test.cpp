// The world over TCP: how it forms, what it listens on, and how it refuses.
#include "deepspeed/comm/rendezvous.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/socket.h"
#include "tests/comm/local_rendezvous.h"

namespace deepspeed::comm {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const base::Error& error) {
    EXPECT_THAT(std::string(error.what()), Not(HasSubstr("\n")));
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

int free_port() {
  const int fd = listen_on("127.0.0.1", 0);
  const int port = listening_port(fd);
  close(fd);
  return port;
}

class Environment : public ::testing::Test {
 protected:
  static constexpr const char* kNames[] = {"RANK",
                                           "LOCAL_RANK",
                                           "WORLD_SIZE",
                                           "MASTER_ADDR",
                                           "MASTER_PORT",
                                           "LOCAL_SIZE",
                                           "LOCAL_WORLD_SIZE",
                                           "DS_RENDEZVOUS_FD",
                                           "DEEPSPEED_TIMEOUT",
                                           "OMPI_COMM_WORLD_RANK",
                                           "OMPI_COMM_WORLD_SIZE",
                                           "OMPI_COMM_WORLD_LOCAL_RANK",
                                           "OMPI_COMM_WORLD_LOCAL_SIZE"};
  static void set_open_mpi() {
    setenv("OMPI_COMM_WORLD_RANK", "1", 1);
    setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
    setenv("OMPI_COMM_WORLD_LOCAL_RANK", "1", 1);
    setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2", 1);
  }
  void SetUp() override { clear(); }
  void TearDown() override { clear(); }
  static void clear() {
    for (const char* name : kNames) unsetenv(name);
  }
  static void set_all() {
    setenv("RANK", "1", 1);
    setenv("LOCAL_RANK", "1", 1);
    setenv("WORLD_SIZE", "4", 1);
    setenv("MASTER_ADDR", "10.0.0.1", 1);
    setenv("MASTER_PORT", "29500", 1);
  }
};

TEST_F(Environment, NothingSetIsOneRankWithoutNetwork) {
  const auto r = rendezvous_from_env();
  EXPECT_EQ(r.world_size, 1);
  EXPECT_EQ(r.timeout, std::chrono::minutes(10));
  auto group = init_world(r, Backend::kGloo);
  EXPECT_EQ(group->size(), 1);
}

TEST_F(Environment, EverythingSetIsRead) {
  set_all();
  setenv("LOCAL_SIZE", "2", 1);
  setenv("DEEPSPEED_TIMEOUT", "3", 1);
  setenv("DS_RENDEZVOUS_FD", "9", 1);
  auto r = rendezvous_from_env();
  EXPECT_EQ(r.rank, 1);
  EXPECT_EQ(r.world_size, 4);
  EXPECT_EQ(r.local_world_size, 2);
  EXPECT_EQ(r.master_addr, "10.0.0.1");
  EXPECT_EQ(r.master_port, 29500);
  EXPECT_EQ(r.timeout, std::chrono::minutes(3));
  EXPECT_EQ(r.listen_fd, -1) << "only rank 0 listens";
  setenv("RANK", "0", 1);
  EXPECT_EQ(rendezvous_from_env().listen_fd, 9);
}

TEST_F(Environment, MissingVariablesAreNamed) {
  setenv("RANK", "0", 1);
  setenv("WORLD_SIZE", "2", 1);
  EXPECT_THAT(message_of([] { rendezvous_from_env(); }),
              HasSubstr("LOCAL_RANK, MASTER_ADDR, MASTER_PORT not set"));
}

TEST_F(Environment, RanksOfMpirunOnOneHostMeetOnLoopback) {
  set_open_mpi();
  auto r = rendezvous_from_env();
  EXPECT_EQ(r.rank, 1);
  EXPECT_EQ(r.local_rank, 1);
  EXPECT_EQ(r.world_size, 2);
  EXPECT_EQ(r.local_world_size, 2);
  EXPECT_EQ(r.master_addr, "127.0.0.1");
  EXPECT_EQ(r.master_port, 29500);
  EXPECT_EQ(rendezvous_from_env(true, 1234).master_port, 1234);
  setenv("MASTER_PORT", "29511", 1);
  setenv("MASTER_ADDR", "10.0.0.1", 1);
  r = rendezvous_from_env();
  EXPECT_EQ(r.master_addr, "10.0.0.1");
  EXPECT_EQ(r.master_port, 29511);
}

TEST_F(Environment, RanksOfMpirunOnSeveralHostsNeedTheMastersAddress) {
  set_open_mpi();
  setenv("OMPI_COMM_WORLD_SIZE", "4", 1);
  EXPECT_THAT(message_of([] { rendezvous_from_env(); }),
              AllOf(HasSubstr("Open MPI started 4 ranks"), HasSubstr("MASTER_ADDR is not set")));
  setenv("MASTER_ADDR", "10.0.0.1", 1);
  EXPECT_EQ(rendezvous_from_env().local_world_size, 2);
}

TEST_F(Environment, TheLaunchersVariablesOverruleMpiruns) {
  set_open_mpi();
  set_all();
  EXPECT_EQ(rendezvous_from_env().world_size, 4);
}

TEST_F(Environment, DiscoveryCanBeSwitchedOff) {
  set_open_mpi();
  EXPECT_EQ(rendezvous_from_env(false).world_size, 1);
}

TEST_F(Environment, HalfOfMpirunsVariablesIsAnError) {
  set_open_mpi();
  unsetenv("OMPI_COMM_WORLD_SIZE");
  EXPECT_THAT(message_of([] { rendezvous_from_env(); }), HasSubstr("OMPI_COMM_WORLD_SIZE is not"));
}

TEST_F(Environment, BadValuesAreNamed) {
  const std::pair<const char*, const char*> bad[] = {{"RANK", "4"},
                                                     {"RANK", "-1"},
                                                     {"WORLD_SIZE", "0"},
                                                     {"WORLD_SIZE", "two"},
                                                     {"MASTER_PORT", "70000"},
                                                     {"LOCAL_SIZE", "5"},
                                                     {"DEEPSPEED_TIMEOUT", "0"}};
  for (const auto& [name, value] : bad) {
    clear();
    set_all();
    setenv(name, value, 1);
    EXPECT_THAT(message_of([] { rendezvous_from_env(); }), AllOf(HasSubstr(name), HasSubstr(value)));
  }
}

TEST(Rendezvous, BackendNamesAreChecked) {
  EXPECT_EQ(parse_backend(""), Backend::kAuto);
  EXPECT_EQ(parse_backend("gloo"), Backend::kGloo);
  EXPECT_EQ(parse_backend("shm"), Backend::kShm);
  EXPECT_EQ(parse_backend("nccl"), Backend::kNccl);
  EXPECT_THAT(message_of([] { parse_backend("mpi"); }), HasSubstr("'mpi'"));
}

TEST(Rendezvous, ImpossibleWorldsAreRefused) {
  auto r = local_rendezvous(2, 2, 29500);
  EXPECT_THAT(message_of([&] { init_world(r, Backend::kGloo); }),
              HasSubstr("RANK 2 is not in 0 ... WORLD_SIZE - 1"));
  r = local_rendezvous(0, 2, 0);
  EXPECT_THAT(message_of([&] { init_world(r, Backend::kGloo); }), HasSubstr("MASTER_PORT 0"));
  r = local_rendezvous(0, 2, 29500);
  r.master_addr = "no-such-host.invalid";
  EXPECT_THAT(message_of([&] { init_world(r, Backend::kGloo); }),
              HasSubstr("MASTER_ADDR 'no-such-host.invalid' cannot be resolved"));
  r.master_addr = "203.0.113.7";  // a documentation address: never this host's
  EXPECT_THAT(message_of([&] { init_world(r, Backend::kGloo); }),
              HasSubstr("203.0.113.7 is no address of this host"));
  r = local_rendezvous(0, 2, 29500, 0);
  r.listen_fd = STDIN_FILENO;
  EXPECT_THAT(message_of([&] { init_world(r, Backend::kGloo); }),
              HasSubstr("DS_RENDEZVOUS_FD=0 is not a listening"));
}

TEST(Rendezvous, APortInUseIsNamed) {
  const int fd = listen_on("127.0.0.1", 0);
  const int port = listening_port(fd);
  EXPECT_THAT(message_of([&] { init_world(local_rendezvous(0, 2, port), Backend::kGloo); }),
              AllOf(HasSubstr("port " + std::to_string(port)), HasSubstr("already in use")));
  close(fd);
}

TEST(Rendezvous, AnInheritedSocketMustMatchMasterPort) {
  const int fd = listen_on("127.0.0.1", 0);
  const int port = listening_port(fd);
  EXPECT_THAT(message_of([&] {
                init_world(local_rendezvous(0, 2, port == 29500 ? 29501 : 29500, fd), Backend::kGloo);
              }),
              HasSubstr("listens on port " + std::to_string(port)));
  close(fd);
}

TEST(Rendezvous, MissingRanksAreNamed) {
  auto r = local_rendezvous(0, 3, free_port());
  r.timeout = milliseconds(200);
  EXPECT_THAT(message_of([&] { init_world(r, Backend::kGloo); }),
              HasSubstr("ranks 1, 2 of 3 did not arrive within 0.2 s"));
}

TEST(Rendezvous, AnAbsentRankZeroIsNamed) {
  auto r = local_rendezvous(1, 2, free_port());
  r.timeout = milliseconds(300);
  EXPECT_THAT(message_of([&] { init_world(r, Backend::kGloo); }),
              HasSubstr("rank 1 could not reach rank 0 at 127.0.0.1"));
}

TEST(Rendezvous, RanksThatDisagreeAboutTheWorldAreTold) {
  const int fd = listen_on("127.0.0.1", 0);
  const int port = listening_port(fd);
  std::array<std::string, 2> texts;
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&texts, rank, port, fd] {
      auto r = local_rendezvous(rank, rank == 0 ? 2 : 3, port, fd);
      r.timeout = milliseconds(1500);
      texts[rank] = message_of([&] { init_world(r, Backend::kGloo); });
    });
  }
  for (auto& thread : threads) thread.join();
  // Who comes first is right.
  EXPECT_THAT(texts,
              ::testing::Contains(::testing::AnyOf(HasSubstr("WORLD_SIZE is 3 on rank 1 but 2 elsewhere"),
                                                   HasSubstr("WORLD_SIZE is 2 on rank 0 but 3 elsewhere"))));
}

TEST(Rendezvous, ARankThatExistsTwiceIsTold) {
  const int fd = listen_on("127.0.0.1", 0);
  const int port = listening_port(fd);
  std::array<std::string, 2> texts;
  std::vector<std::jthread> threads;
  for (auto& text : texts) {
    threads.emplace_back([&text, port] {
      try {
        init_world(local_rendezvous(1, 2, port), Backend::kGloo);
      } catch (const base::Error& error) {
        text = error.what();
      }
    });
  }
  auto world = init_world(local_rendezvous(0, 2, port, fd), Backend::kGloo);
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(texts, ::testing::UnorderedElementsAre("", "two processes have RANK 1"));
}

// Local addresses on which this process listens, as /proc writes them ("0100007F:1234").
std::vector<std::string> listening_addresses() {
  std::set<std::string> inodes;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    const auto target = std::filesystem::read_symlink(entry.path(), error).string();
    if (target.starts_with("socket:[")) inodes.insert(target.substr(8, target.size() - 9));
  }
  std::vector<std::string> addresses;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream file(table);
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) {
      std::istringstream fields(line);
      std::string slot, address, remote, state, skip, inode;
      fields >> slot >> address >> remote >> state;
      for (int i = 0; i < 5; ++i) fields >> skip;
      fields >> inode;
      if (state == "0A" && inodes.contains(inode)) addresses.push_back(address);
    }
  }
  return addresses;
}

TEST(Rendezvous, ListensOnLoopbackAloneWhenTheJobIsLocal) {
  const int fd = listen_on("127.0.0.1", 0);
  const int port = listening_port(fd);
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([=] {
      auto world = init_world(local_rendezvous(rank, 2, port, fd), Backend::kGloo);
      auto t = at::ones({4});
      world->all_reduce(t);
      EXPECT_EQ(t[0].item<float>(), 2);
      auto pair = world->new_group({0, 1});
      pair->all_reduce(t);
      if (rank == 0) {
        const auto addresses = listening_addresses();
        EXPECT_GE(addresses.size(), 3u) << "the store's and each rank's socket";
        for (const auto& address : addresses) EXPECT_THAT(address, ::testing::StartsWith("0100007F:"));
      }
      world->monitored_barrier(std::chrono::seconds(10));
      world->barrier();
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST(Rendezvous, ThePatternOfAnOpenSocketIsNoticed) {
  const int fd = listen_on("0.0.0.0", 0);
  EXPECT_THAT(listening_addresses(), ::testing::Contains(::testing::StartsWith("00000000:")));
  close(fd);
}

TEST(Rendezvous, AHostNameIsAsGoodAsAnAddress) {
  const int port = free_port();
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([=] {
      auto r = local_rendezvous(rank, 2, port);
      r.master_addr = "localhost";
      auto world = init_world(r, Backend::kAuto);
      EXPECT_EQ(world->all_gather_object(std::to_string(rank)), (std::vector<std::string>{"0", "1"}));
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST(Rendezvous, AKilledProcessIsAnErrorAtItsPeerAtOnce) {
  const int fd = listen_on("127.0.0.1", 0);
  const int port = listening_port(fd);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    close(fd);
    try {
      auto world = init_world(local_rendezvous(1, 2, port), Backend::kGloo);
      world->barrier();
      kill(getpid(), SIGKILL);
    } catch (...) {
      _exit(1);
    }
  }
  auto world = init_world(local_rendezvous(0, 2, port, fd), Backend::kGloo);
  world->barrier();
  const auto start = steady_clock::now();
  auto t = at::ones({1 << 20});
  const auto text = message_of([&] {
    for (;;) world->all_reduce(t);
  });
  EXPECT_THAT(text, HasSubstr("of group 'world' failed on rank 0"));
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(5));
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  struct sigaction pipe {};
  sigaction(SIGPIPE, nullptr, &pipe);
  EXPECT_EQ(pipe.sa_handler, SIG_IGN) << "else the peer's death kills this process one time in twenty";
}

TEST(Rendezvous, NcclIsRefusedWhereItWasNotBuilt) {
#ifdef USE_C10D_NCCL
  GTEST_SKIP() << "NCCL is built in";
#endif
  EXPECT_THAT(message_of([] { init_world(local_rendezvous(0, 2, 29500), Backend::kNccl); }),
              HasSubstr("not available in this build"));
}

}  // namespace
}  // namespace deepspeed::comm
