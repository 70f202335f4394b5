// What a rank hands to others: bytes on the wire as the operations define them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "deepspeed/comm/group.h"

namespace deepspeed::comm {

/// Sums OpRecord::sent of the operations it is shown. Used by one thread; the groups it observes must not
/// outlive it, or be given another observer first.
class Traffic {
 public:
  /// An observer for Group::set_observer.
  std::function<void(const OpRecord&)> observer() {
    return [this](const OpRecord& record) { add(record); };
  }
  void add(const OpRecord& record);
  void clear() { bytes_.clear(); }

  struct Flow {
    const std::string& group;
    const std::string& operation;
    int to;  // world rank
  };
  /// Bytes of the flows for which `counts` holds.
  int64_t sent(const std::function<bool(const Flow&)>& counts) const;
  int64_t sent() const {
    return sent([](const Flow&) { return true; });
  }

 private:
  std::map<std::pair<std::string, std::string>, std::map<int, int64_t>> bytes_;  // by group and operation
};

}  // namespace deepspeed::comm
