// Which construction a collective takes over which backend. Internal to comm.
#pragma once

#include <string_view>

namespace deepspeed::comm {

enum class Construction {
  kNative,      // the backend's own operation
  kBroadcasts,  // one concurrent broadcast a rank
  kExchange,    // every pair of ranks at once by send and recv
};

struct Policy {
  Construction all_gather = Construction::kNative;
  Construction reduce_scatter = Construction::kNative;  // kExchange: and a local sum in rank order
  Construction all_to_all = Construction::kNative;      // also gather and scatter
  bool native_average = true;                           // false: sum, then divide here
};

/// "gloo", "shm", "nccl" or "fake".
const Policy& policy_for(std::string_view backend);

}  // namespace deepspeed::comm
