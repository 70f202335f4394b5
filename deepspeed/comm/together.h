// Work that one rank may fail at: every rank learns of it, instead of waiting for the one that gave up.
#pragma once

#include <functional>
#include <string>

#include "deepspeed/comm/group.h"

namespace deepspeed::comm {

/// Runs `action` here and learns what became of it everywhere: the first rank's failure is everyone's Error,
/// "<what>: rank <r>: <failure>". Collective; `action` itself must not communicate.
void together(Group& group, const std::string& what, const std::function<void()>& action);

}  // namespace deepspeed::comm
