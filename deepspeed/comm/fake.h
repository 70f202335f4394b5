// A group whose other ranks do not exist: it records what is issued, so that plans are tested without a
// network.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "deepspeed/comm/group.h"

namespace deepspeed::comm {

/// What was issued, in order. Marks of the test's own ("backward of layer 3") stand between the operations.
/// Thread-safe.
class FakeLog {
 public:
  void add(const OpRecord& record);
  /// An entry of that name with sequence 0.
  void mark(const std::string& name);
  std::vector<OpRecord> entries() const;
  /// The names alone.
  std::vector<std::string> names() const;
  void clear();

 private:
  mutable std::mutex mutex_;
  std::vector<OpRecord> entries_;
};

/// Rank `rank` of a fake group. Operations complete at once and behave as if the other ranks contributed
/// nothing: all_reduce leaves t as it is, gathers fill this rank's part alone, reduce_scatter copies this
/// rank's slice. Groups made from it are fake too and write to the same log. `log` may be null; else it
/// outlives the group.
GroupPtr fake_group(int rank, int size, FakeLog* log = nullptr);

}  // namespace deepspeed::comm
