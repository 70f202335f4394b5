#include "deepspeed/comm/traffic.h"

namespace deepspeed::comm {

void Traffic::add(const OpRecord& record) {
  if (record.sent.empty()) return;
  auto& to = bytes_[{record.group, record.name}];
  for (const auto& [rank, bytes] : record.sent) to[rank] += bytes;
}

int64_t Traffic::sent(const std::function<bool(const Flow&)>& counts) const {
  int64_t total = 0;
  for (const auto& [key, by_rank] : bytes_)
    for (const auto& [rank, bytes] : by_rank)
      if (counts({key.first, key.second, rank})) total += bytes;
  return total;
}

}  // namespace deepspeed::comm
