// Issuing an operation and waiting for it. Internal to comm.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "deepspeed/comm/group_state.h"

namespace deepspeed::comm {

/// What starting an operation leaves to wait for: the transport's works, then what is left to compute.
struct Started {
  std::vector<RawWork> works;
  std::function<void()> finish;
  std::vector<at::Tensor> keep_alive;
};

struct Operation {
  const char* name;
  int64_t numel = 0;
  at::ScalarType dtype = at::ScalarType::Undefined;
  bool async = false;
  /// Bytes for another rank of the group; asked only where somebody observes the group.
  std::function<int64_t(int peer)> sent = {};
};

/// Numbers the operation, tells the observer, starts it and, unless async or coalescing, waits. Whatever
/// `start` throws becomes a base::Error that names operation, group and rank.
WorkPtr issue(GroupState& group, const Operation& operation, const std::function<Started()>& start);

/// A Work for several.
WorkPtr join(std::vector<WorkPtr> works);

}  // namespace deepspeed::comm
