// Binds the calling process, and what it executes later, to cores and memory.
#pragma once

#include "deepspeed/launcher/core_binding.h"

namespace deepspeed::launcher {

/// For a child between fork and execve. False with errno set when the system refuses.
bool bind_cores_here(const CoreBinding& binding);
bool bind_memory_here(const CoreBinding& binding);

}  // namespace deepspeed::launcher
