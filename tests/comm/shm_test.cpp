// What the backend through shared memory promises beyond what every backend does.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/ranks.h"
#include "deepspeed/comm/shm_memory.h"
#include "deepspeed/comm/socket.h"
#include "tests/comm/local_rendezvous.h"

namespace deepspeed::comm {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr std::chrono::seconds kLimit{60};

at::Tensor fractions(int rank, int64_t length, at::ScalarType dtype) {
  return at::arange(length, at::kDouble).mul(0.37).add(rank * 1.9).sin().mul(1 + rank).to(dtype);
}

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const base::Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

bool maps_shared_memory() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("memfd:deepspeed-comm") != std::string::npos) return true;
  }
  return false;
}

std::set<std::string> files_of_dev_shm() {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    const auto name = entry.path().filename().string();
    if (name.find("deepspeed-comm") != std::string::npos) names.insert(name);
  }
  return names;
}

// Sums of three and more depend on their order; lengths of one round, of many, and of a last round in part.
TEST(Shm, AllReduceAndReduceScatterGiveTheSameBitsOnAnyNumberOfRanks) {
  for (const int size : {2, 3, 5}) {
    run_ranks(
        size,
        [](GroupPtr group) {
          for (const auto dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
            for (const int64_t length : {5, 1000, 70003, 1000003}) {
              const auto mine = fractions(group->rank(), length, dtype);
              std::vector<int64_t> splits(static_cast<size_t>(group->size()), length / group->size());
              splits[0] += length % group->size();
              auto slice = at::zeros({splits[static_cast<size_t>(group->rank())]}, dtype);
              group->reduce_scatter_v(slice, mine, splits);
              auto whole = mine.clone();
              group->all_reduce(whole);
              std::vector<at::Tensor> slices;
              for (const int64_t n : splits) slices.push_back(at::zeros({n}, dtype));
              group->all_gather(slices, slice);
              EXPECT_TRUE(at::cat(slices).equal(whole)) << at::toString(dtype) << " " << length;
            }
          }
        },
        kLimit, Backend::kShm);
  }
}

TEST(Shm, SumsOfTwoRanksHaveTheBitsOfGloo) {
  const auto sum = [](Backend backend, ReduceOp op, at::ScalarType dtype) {
    at::Tensor result;
    run_ranks(
        2,
        [&](GroupPtr group) {
          auto t = fractions(group->rank(), 300007, dtype);
          group->all_reduce(t, op);
          if (group->rank() == 0) result = t;
        },
        kLimit, backend);
    return result;
  };
  for (const auto dtype : {at::kFloat, at::kBFloat16})
    for (const auto op : {ReduceOp::kSum, ReduceOp::kAvg})
      EXPECT_TRUE(sum(Backend::kShm, op, dtype).equal(sum(Backend::kGloo, op, dtype))) << at::toString(dtype);
}

TEST(Shm, TensorsMuchLongerThanTheSlotsPassWhole) {
  run_ranks(
      3,
      [](GroupPtr group) {
        const int64_t length = 3 * 1000 * 1000 + 1;
        auto t = at::arange(length, at::kLong).add(group->rank());
        if (group->rank() != 1) t.zero_();
        group->broadcast(t, 1);
        EXPECT_TRUE(t.equal(at::arange(length, at::kLong).add(1)));
        auto all = at::zeros({3, length}, at::kLong);
        group->all_gather_into_tensor(all, t.mul(group->rank() + 1));
        for (int r = 0; r < 3; ++r) EXPECT_TRUE(all[r].equal(t.mul(r + 1)));
        group->all_reduce(t, ReduceOp::kMax);
        EXPECT_TRUE(t.equal(at::arange(length, at::kLong).add(1)));
      },
      kLimit, Backend::kShm);
}

TEST(Shm, AnOutputThatOverlapsAnotherRanksSliceIsRight) {
  run_ranks(
      2,
      [](GroupPtr group) {
        const int64_t length = 400000;
        auto t = fractions(group->rank(), 2 * length, at::kFloat);
        const auto expected = fractions(0, 2 * length, at::kFloat)
                                  .add(fractions(1, 2 * length, at::kFloat))
                                  .narrow(0, group->rank() * length, length);
        auto other = t.narrow(0, (1 - group->rank()) * length, length);
        group->reduce_scatter_tensor(other, t);
        EXPECT_TRUE(other.equal(expected));
      },
      kLimit, Backend::kShm);
}

TEST(Shm, RanksInDifferentCallsAreToldSo) {
  const auto text = message_of([] {
    run_ranks(
        2,
        [](GroupPtr group) {
          auto t = at::ones({group->rank() == 0 ? 8 : 6});
          group->all_reduce(t);
        },
        kLimit, Backend::kShm);
  });
  EXPECT_THAT(text, AnyOf(HasSubstr("rank 1 is in all_reduce of 24 bytes"),
                          HasSubstr("rank 0 is in all_reduce of 32 bytes"), HasSubstr("closed by peer")));
}

TEST(Shm, ThreadsOfOneProcessHaveOneMapping) {
  auto first = std::make_unique<SharedMemory>(SharedMemory::create(1000));
  const auto offer = first->offer();
  auto second = std::make_unique<SharedMemory>(SharedMemory::open(offer));
  EXPECT_EQ(second->data(), first->data());
  first.reset();
  second->data()[7] = std::byte{42};
  EXPECT_EQ(SharedMemory::open(offer).data()[7], std::byte{42});
  second.reset();
  EXPECT_FALSE(maps_shared_memory());
  EXPECT_THAT(message_of([&] { SharedMemory::open(offer); }), HasSubstr("is not our shared memory"));
}

TEST(Shm, MemoryOfAnotherHostOrLifeIsRefused) {
  const auto memory = SharedMemory::create(1000);
  auto elsewhere = memory.offer();
  elsewhere[0] = elsewhere[0] == 'x' ? 'y' : 'x';
  EXPECT_THAT(message_of([&] { SharedMemory::open(elsewhere); }), HasSubstr("another host"));
  auto forged = memory.offer();
  forged.back() = forged.back() == '0' ? '1' : '0';
  EXPECT_THAT(message_of([&] { SharedMemory::open(forged); }), HasSubstr("not the memory that was offered"));
  EXPECT_THAT(message_of([&] { SharedMemory::open("none"); }), HasSubstr("does not describe"));
}

// Rank 0 here, the others as processes that run `body` and then kill themselves.
void with_processes(int size, Backend backend, const std::function<void(GroupPtr)>& here,
                    const std::function<void(GroupPtr)>& there) {
  const int fd = listen_on("127.0.0.1", 0);
  const int port = listening_port(fd);
  std::vector<pid_t> children;
  for (int rank = 1; rank < size; ++rank) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(fd);
      try {
        there(init_world(local_rendezvous(rank, size, port, -1), backend));
        kill(getpid(), SIGKILL);
      } catch (...) {
      }
      _exit(1);
    }
    children.push_back(child);
  }
  here(init_world(local_rendezvous(0, size, port, fd), backend));
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  }
}

TEST(Shm, ProcessesOfOneHostShareMemoryUnasked) {
  with_processes(
      3, Backend::kAuto,
      [](GroupPtr world) {
        EXPECT_TRUE(maps_shared_memory());
        auto t = at::ones({100000});
        world->all_reduce(t);
        EXPECT_TRUE(t.equal(at::full({100000}, 6.0)));
        world->barrier();
      },
      [](GroupPtr world) {
        auto t = at::full({100000}, world->rank() + 1.0);
        world->all_reduce(t);
        world->barrier();
      });
}

TEST(Shm, ProcessesKilledInTheMidstAreAnErrorSoonAndLeaveNothing) {
  const auto before = files_of_dev_shm();
  with_processes(
      2, Backend::kShm,
      [&](GroupPtr world) {
        auto t = at::ones({1 << 20});
        const auto start = steady_clock::now();
        const auto text = message_of([&] {
          for (;;) world->all_reduce(t);
        });
        EXPECT_THAT(text,
                    HasSubstr("of group 'world' failed on rank 0: shared memory closed by peer: rank 1"));
        EXPECT_THAT(text, HasSubstr("a peer has ended"));
        EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(5));
        const auto later = message_of([&] { world->barrier(); });
        EXPECT_THAT(later, HasSubstr("barrier"));
      },
      [](GroupPtr world) {
        auto t = at::ones({1 << 20});
        std::thread([] {
          std::this_thread::sleep_for(milliseconds(200));
          kill(getpid(), SIGKILL);
        }).detach();
        for (;;) world->all_reduce(t);
      });
  EXPECT_FALSE(maps_shared_memory());
  EXPECT_EQ(files_of_dev_shm(), before);
}

TEST(Shm, CanBeSwitchedOffByTheEnvironmentAndAskedForByName) {
  setenv("DS_SHM", "0", 1);
  run_ranks(2, [](GroupPtr group) {
    group->barrier();
    EXPECT_FALSE(maps_shared_memory());
    group->barrier();
  });
  run_ranks(
      2,
      [](GroupPtr group) {
        EXPECT_TRUE(maps_shared_memory());
        group->barrier();
      },
      kLimit, Backend::kShm);
  unsetenv("DS_SHM");
}

}  // namespace
}  // namespace deepspeed::comm
