#include "deepspeed/comm/together.h"

#include "deepspeed/base/error.h"
#include "deepspeed/comm/group_state.h"

namespace deepspeed::comm {

void together(Group& group, const std::string& what, const std::function<void()>& action) {
  std::string failure;
  try {
    action();
  } catch (const std::exception&) {
    failure = reason_of(std::current_exception());
    if (failure.empty()) failure = "unknown error";
  }
  const auto failures = group.all_gather_object(failure);
  for (size_t rank = 0; rank < failures.size(); ++rank)
    if (!failures[rank].empty()) {
      if (group.size() == 1) base::fail("{}: {}", what, failures[rank]);
      base::fail("{}: rank {}: {}", what, rank, failures[rank]);
    }
}

}  // namespace deepspeed::comm
