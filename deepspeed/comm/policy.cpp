#include "deepspeed/comm/policy.h"

#include <array>
#include <utility>

#include "deepspeed/base/error.h"

namespace deepspeed::comm {
namespace {

// Gloo, 64 MB fp32 between 2 local processes, best of 8 (milliseconds): all_gather native 125, broadcasts 39,
// exchange 35 (3 ranks: 335, 69, 116); reduce_scatter native 105, all_to_all + sum 63, exchange + sum 49;
// all_reduce native 56, exchanges 116. Gloo has no all_to_all of lists and no gathers of uneven sizes.
constexpr Policy kGloo{Construction::kBroadcasts, Construction::kExchange, Construction::kExchange, false};
constexpr Policy kNative{};
constexpr std::array<std::pair<std::string_view, const Policy*>, 3> kTable{
    {{"gloo", &kGloo}, {"nccl", &kNative}, {"fake", &kNative}}};

}  // namespace

const Policy& policy_for(std::string_view backend) {
  for (const auto& [name, policy] : kTable) {
    if (name == backend) return *policy;
  }
  base::fail("communication backend '{}' has no row in comm/policy.cpp", backend);
}

}  // namespace deepspeed::comm
