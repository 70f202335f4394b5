// What a Group keeps. Internal to comm: the only headers that see c10d are this one and those that include
// it.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/comm/group.h"
#include "deepspeed/comm/policy.h"

namespace deepspeed::comm {

using BackendPtr = c10::intrusive_ptr<c10d::Backend>;
using StorePtr = c10::intrusive_ptr<c10d::Store>;
using RawWork = c10::intrusive_ptr<c10d::Work>;

/// Makes the backend of a (sub)group of more than one rank; `store` is that group's own name space.
using Connect =
    std::function<BackendPtr(const StorePtr& store, int rank, int size, std::chrono::milliseconds timeout)>;

struct GroupState {
  ~GroupState();
  /// Gives the backend up, and that of every group made from this one: peers that wait for this rank fail at
  /// once. Never waits for operations still under way.
  void close();

  int rank = 0;
  int size = 1;
  std::string name = "world";
  std::vector<int> global_ranks{0};
  int ranks_per_host = 0;  // 0: all
  at::Device device = at::kCPU;
  std::shared_ptr<GroupState> host;  // of a group on a device: what carries tensors on the CPU
  BackendPtr backend;                // null: one rank
  StorePtr store;                    // null: one rank, or a fake group
  Connect connect;
  Policy policy;
  std::chrono::milliseconds timeout{600000};
  std::function<void(const OpRecord&)> observer;

  uint64_t sequence = 0;
  uint64_t children_made = 0;
  uint64_t barriers = 0;
  std::vector<std::weak_ptr<GroupState>> children;
  std::vector<c10::weak_intrusive_ptr<c10d::Work>> in_flight;
  std::optional<std::vector<WorkPtr>> coalesced;  // set between start_coalescing and end_coalescing
};

/// The state that carries tensors that lie where `t` does.
inline GroupState& carrier(GroupState& group, const at::Tensor& t) {
  return group.host && t.defined() && t.is_cpu() ? *group.host : group;
}
inline GroupState& carrier(GroupState& group, const std::vector<at::Tensor>& tensors) {
  return tensors.empty() ? group : carrier(group, tensors.front());
}

/// One line out of any exception of c10d, Gloo or ours: no backtrace, no source position.
std::string reason_of(std::exception_ptr error);

}  // namespace deepspeed::comm
