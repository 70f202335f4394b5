#include "deepspeed/comm/fake.h"

#include <ATen/ATen.h>

#include <numeric>
#include <utility>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/group_state.h"

namespace deepspeed::comm {
namespace {

class DoneWork final : public c10d::Work {
 public:
  bool isCompleted() override { return true; }
  bool isSuccess() const override { return true; }
  bool wait(std::chrono::milliseconds) override { return true; }
};

RawWork done() { return c10::make_intrusive<DoneWork>(); }

// Every other rank contributes nothing.
class FakeBackend final : public c10d::Backend {
 public:
  using Tensors = std::vector<at::Tensor>;
  using c10d::Backend::Backend;

  const std::string getBackendName() const override { return "fake"; }
  RawWork broadcast(Tensors&, const c10d::BroadcastOptions&) override { return done(); }
  RawWork allreduce(Tensors&, const c10d::AllreduceOptions&) override { return done(); }
  RawWork reduce(Tensors&, const c10d::ReduceOptions&) override { return done(); }
  RawWork barrier(const c10d::BarrierOptions&) override { return done(); }
  RawWork send(Tensors&, int, int) override { return done(); }
  RawWork recv(Tensors&, int, int) override { return done(); }
  RawWork _allgather_base(at::Tensor& output, at::Tensor& input, const c10d::AllgatherOptions&) override {
    return copy(output.narrow(0, getRank() * input.numel(), input.numel()), input);
  }
  RawWork allgather(std::vector<Tensors>& outputs, Tensors& inputs, const c10d::AllgatherOptions&) override {
    return copy(outputs[0][getRank()], inputs[0]);
  }
  RawWork _reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                               const c10d::ReduceScatterOptions&) override {
    return copy(output, input.narrow(0, getRank() * output.numel(), output.numel()));
  }
  RawWork reduce_scatter(Tensors& outputs, std::vector<Tensors>& inputs,
                         const c10d::ReduceScatterOptions&) override {
    return copy(outputs[0], inputs[0][getRank()]);
  }
  RawWork alltoall(Tensors& outputs, Tensors& inputs, const c10d::AllToAllOptions&) override {
    return copy(outputs[getRank()], inputs[getRank()]);
  }

 private:
  static RawWork copy(at::Tensor to, const at::Tensor& from) {
    if (to.numel() > 0 && to.const_data_ptr() != from.const_data_ptr()) to.copy_(from);
    return done();
  }
};

}  // namespace

void FakeLog::add(const OpRecord& record) {
  const std::lock_guard lock(mutex_);
  entries_.push_back(record);
}

void FakeLog::mark(const std::string& name) {
  OpRecord record;
  record.name = name;
  add(record);
}

std::vector<OpRecord> FakeLog::entries() const {
  const std::lock_guard lock(mutex_);
  return entries_;
}

std::vector<std::string> FakeLog::names() const {
  std::vector<std::string> names;
  for (const auto& entry : entries()) names.push_back(entry.name);
  return names;
}

void FakeLog::clear() {
  const std::lock_guard lock(mutex_);
  entries_.clear();
}

GroupPtr fake_group(int rank, int size, FakeLog* log) {
  DS_CHECK(rank >= 0 && rank < size, "fake_group: rank {} is not in 0 ... {}", rank, size - 1);
  auto state = std::make_shared<GroupState>();
  state->rank = rank;
  state->size = size;
  state->global_ranks.resize(size);
  std::iota(state->global_ranks.begin(), state->global_ranks.end(), 0);
  state->policy = policy_for("fake");
  state->connect = [](const StorePtr&, int r, int n, std::chrono::milliseconds) -> BackendPtr {
    return c10::make_intrusive<FakeBackend>(r, n);
  };
  state->backend = state->connect(nullptr, rank, size, state->timeout);
  if (log) state->observer = [log](const OpRecord& record) { log->add(record); };
  return std::make_shared<Group>(state);
}

}  // namespace deepspeed::comm
