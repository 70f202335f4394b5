#include "deepspeed/comm/ranks.h"

#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>

#include <atomic>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/backends.h"
#include "deepspeed/comm/check_in.h"

namespace deepspeed::comm {
namespace {

// A store in memory whose waits end when a rank has failed.
class ThreadStore final : public c10d::HashStore {
 public:
  void fail() { failed_ = true; }

  std::vector<uint8_t> get(const std::string& key) override {
    wait({key}, timeout_);
    return HashStore::get(key);
  }
  void wait(const std::vector<std::string>& keys) override { wait(keys, timeout_); }
  void wait(const std::vector<std::string>& keys, const std::chrono::milliseconds& timeout) override {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    auto pause = std::chrono::microseconds(50);
    while (!check(keys)) {
      DS_CHECK(!failed_, "another rank has failed");
      DS_CHECK(std::chrono::steady_clock::now() < deadline, "timed out waiting for other ranks");
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 2, std::chrono::microseconds(5000));
    }
  }

 private:
  std::atomic<bool> failed_ = false;
};

struct FirstFailure {
  void record(std::exception_ptr error) {
    const std::lock_guard lock(mutex);
    if (!first) first = error;
  }
  std::mutex mutex;
  std::exception_ptr first;
};

std::shared_ptr<GroupState> join_world(const StorePtr& store, const Connect& connect, int rank, int size,
                                       std::chrono::milliseconds timeout) {
  auto state = std::make_shared<GroupState>();
  state->policy = policy_for("gloo");
  state->timeout = timeout;
  if (size == 1) return state;
  state->rank = rank;
  state->size = size;
  state->global_ranks.resize(size);
  std::iota(state->global_ranks.begin(), state->global_ranks.end(), 0);
  state->store = store;
  state->connect = connect;
  connect_group(*state, c10::make_intrusive<c10d::PrefixStore>("backend", state->store));
  return state;
}

}  // namespace

void run_ranks(int world_size, const std::function<void(GroupPtr)>& body, std::chrono::milliseconds timeout,
               Backend backend) {
  DS_CHECK(world_size >= 1, "run_ranks: a world needs at least one rank, got {}", world_size);
  auto store = c10::make_intrusive<ThreadStore>();
  store->setTimeout(timeout);
  const Connect connect =
      connect_on_cpu(backend, "127.0.0.1");  // here, because it may set an environment variable
  FirstFailure failure;
  auto run = [&](int rank) {
    std::shared_ptr<GroupState> state;
    try {
      state = join_world(store, connect, rank, world_size, timeout);
      body(std::make_shared<Group>(state));
    } catch (...) {
      failure.record(std::current_exception());
      store->fail();
      if (state) state->close();
    }
  };
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world_size; ++rank) threads.emplace_back(run, rank);
  for (auto& thread : threads) thread.join();
  if (failure.first) std::rethrow_exception(failure.first);
}

}  // namespace deepspeed::comm
