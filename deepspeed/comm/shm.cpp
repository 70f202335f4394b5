// The backend of ranks that share a host, for tensors in its memory.
#include <ATen/ATen.h>
#include <unistd.h>

#include <charconv>
#include <optional>
#include <utility>

#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"
#include "deepspeed/comm/backends.h"
#include "deepspeed/comm/constructions.h"
#include "deepspeed/comm/shm_worker.h"

namespace deepspeed::comm {
namespace {

using std::chrono::milliseconds;

ReduceOp from_c10d(const c10d::ReduceOp& op) {
  for (const auto ours : {ReduceOp::kSum, ReduceOp::kAvg, ReduceOp::kProduct, ReduceOp::kMin, ReduceOp::kMax,
                          ReduceOp::kBand, ReduceOp::kBor, ReduceOp::kBxor}) {
    if (to_c10d(ours).op_ == op.op_) return ours;
  }
  base::fail("reduce operation {} has no form in shared memory", static_cast<int>(op.op_));
}

// What has no form of its own here goes to the Gloo backend of the same group.
class ShmBackend final : public c10d::Backend {
 public:
  ShmBackend(std::unique_ptr<ShmChannel> channel, BackendPtr gloo, milliseconds timeout)
      : Backend(channel->rank(), channel->ranks()),
        gloo_(std::move(gloo)),
        worker_(std::move(channel)),
        timeout_(timeout) {}

  const std::string getBackendName() const override { return "shm"; }
  void setTimeout(milliseconds timeout) override {
    timeout_ = timeout;
    gloo_->setTimeout(timeout);
  }

  RawWork allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) override {
    return submit(shm_all_reduce(worker_.channel(), tensors[0], from_c10d(options.reduceOp)),
                  options.timeout);
  }
  RawWork reduce(Tensors& tensors, const c10d::ReduceOptions& options) override {
    Tensors parts(static_cast<size_t>(getSize()), tensors[0].narrow(0, 0, 0));
    parts[static_cast<size_t>(options.rootRank)] = tensors[0];
    return scatter_sum(parts[static_cast<size_t>(getRank())], parts, options.reduceOp, options.timeout,
                       "reduce");
  }
  RawWork broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) override {
    return submit(shm_broadcast(worker_.channel(), tensors[0], static_cast<int>(options.rootRank)),
                  options.timeout);
  }
  RawWork allgather(std::vector<Tensors>& outputs, Tensors& inputs,
                    const c10d::AllgatherOptions& options) override {
    return submit(shm_all_gather(worker_.channel(), outputs[0], inputs[0]), options.timeout);
  }
  RawWork _allgather_base(at::Tensor& output, at::Tensor& input,
                          const c10d::AllgatherOptions& options) override {
    const auto outputs = cut(output, even_lengths(input.numel()));
    return submit(shm_all_gather(worker_.channel(), outputs, input), options.timeout);
  }
  RawWork reduce_scatter(Tensors& outputs, std::vector<Tensors>& inputs,
                         const c10d::ReduceScatterOptions& options) override {
    return scatter_sum(outputs[0], inputs[0], options.reduceOp, options.timeout, "reduce_scatter");
  }
  RawWork _reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                               const c10d::ReduceScatterOptions& options) override {
    return scatter_sum(output, cut(input, even_lengths(output.numel())), options.reduceOp, options.timeout,
                       "reduce_scatter");
  }
  RawWork barrier(const c10d::BarrierOptions& options) override {
    return submit(shm_barrier(), options.timeout);
  }
  RawWork send(Tensors& tensors, int peer, int tag) override { return gloo_->send(tensors, peer, tag); }
  RawWork recv(Tensors& tensors, int peer, int tag) override { return gloo_->recv(tensors, peer, tag); }

 private:
  std::vector<int64_t> even_lengths(int64_t length) const {
    return std::vector<int64_t>(static_cast<size_t>(getSize()), length);
  }
  RawWork scatter_sum(const at::Tensor& output, const Tensors& parts, const c10d::ReduceOp& op,
                      milliseconds timeout, const char* name) {
    return submit(shm_reduce_scatter(worker_.channel(), output, parts, from_c10d(op), name), timeout);
  }
  RawWork submit(ShmRounds rounds, milliseconds timeout) {
    return worker_.submit(std::move(rounds), timeout.count() > 0 ? timeout : timeout_);
  }

  BackendPtr gloo_;
  ShmWorker worker_;  // ended first: peers are told before Gloo waits for its own queue
  milliseconds timeout_;
};

std::string get_text(const StorePtr& store, const std::string& key) {
  const auto bytes = store->get(key);
  return {bytes.begin(), bytes.end()};
}

void set_text(const StorePtr& store, const std::string& key, const std::string& text) {
  store->set(key, std::vector<uint8_t>(text.begin(), text.end()));
}

// Text that is a process id, or else the reason why there is no shared memory.
std::optional<int64_t> as_pid(const std::string& text) {
  int64_t pid = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return {};
  return pid;
}

struct Agreed {
  std::unique_ptr<ShmChannel> channel;  // null: `obstacle` says why there is none
  std::string obstacle;
};

// This rank's part of the memory; rank 0 makes it and the others look for what it offers.
std::optional<SharedMemory> obtain_memory(const StorePtr& store, int rank, int size, std::string& obstacle) {
  try {
    DS_CHECK(obstacle.empty(), "{}", obstacle);
    if (rank == 0) {
      DS_CHECK(size <= ShmChannel::kMostRanks, "{} ranks are more than {}", size, ShmChannel::kMostRanks);
      auto memory = SharedMemory::create(ShmChannel::memory_bytes(size));
      set_text(store, "shm/offer", memory.offer());
      return memory;
    }
    const auto offer = get_text(store, "shm/offer");
    DS_CHECK(offer != "none", "rank 0 has none to offer");
    return SharedMemory::open(offer);
  } catch (const base::Error& error) {
    if (rank == 0) set_text(store, "shm/offer", "none");
    obstacle = error.what();
    return {};
  }
}

// Every rank says whether it could; all learn what each said, so all decide the same.
Agreed agree_on_memory(const StorePtr& store, int rank, int size, bool switched_off) {
  Agreed agreed;
  if (switched_off) agreed.obstacle = "DS_SHM=0 is set";
  auto memory = obtain_memory(store, rank, size, agreed.obstacle);
  if (memory && !ShmChannel::can_watch()) agreed.obstacle = "this system cannot watch processes (pidfd_open)";
  set_text(store, fmt::format("shm/{}", rank),
           agreed.obstacle.empty() ? std::to_string(getpid()) : agreed.obstacle);
  std::vector<int64_t> pids;
  for (int r = 0; r < size; ++r) {
    const auto text = get_text(store, fmt::format("shm/{}", r));
    const auto pid = as_pid(text);
    if (!pid) return {nullptr, fmt::format("rank {}: {}", r, text)};
    pids.push_back(*pid);
  }
  memory->close_descriptor();
  agreed.channel = std::make_unique<ShmChannel>(std::move(*memory), rank, size);
  agreed.channel->watch(pids);
  return agreed;
}

}  // namespace

Connect connect_shm(Connect gloo, bool required, bool switched_off) {
  return [gloo = std::move(gloo), required, switched_off](const StorePtr& store, int rank, int size,
                                                          milliseconds timeout) -> BackendPtr {
    auto agreed = agree_on_memory(store, rank, size, switched_off);
    DS_CHECK(agreed.channel || !required, "the ranks have no memory in common ({}): use gloo",
             agreed.obstacle);
    auto backend = gloo(store, rank, size, timeout);
    if (!agreed.channel) return backend;
    return c10::make_intrusive<ShmBackend>(std::move(agreed.channel), std::move(backend), timeout);
  };
}

Connect connect_on_cpu(Backend backend, const std::string& local_address) {
  auto gloo = connect_gloo(local_address);
  if (backend == Backend::kGloo) return gloo;
  const bool required = backend == Backend::kShm;
  return connect_shm(std::move(gloo), required, !required && base::env_int("DS_SHM") == 0);
}

}  // namespace deepspeed::comm
