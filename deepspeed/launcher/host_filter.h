// The grammar of --include and --exclude: SPEC[@SPEC...], SPEC = NAME[:SLOT[,SLOT...]]. After DeepSpeed's
// parse_resource_filter (launcher/runner.py).
#pragma once

#include <string_view>

#include "deepspeed/launcher/hostfile.h"

namespace deepspeed::launcher {

/// The part of `pool` that `include` names, or that `exclude` leaves; the pool itself when both are empty. No
/// slots means all of the host's. Specs of one host merge; the result keeps the pool's order, slots rise,
/// hosts without slots are gone. Errors: both filters given, unknown host, slot the host does not have, a
/// slot that is no number, two ':' in a spec.
HostPool filter_hosts(const HostPool& pool, std::string_view include, std::string_view exclude);

}  // namespace deepspeed::launcher
