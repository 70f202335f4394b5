// How much memory this process holds, as the operating system counts it.
#pragma once

#include <cstdint>

namespace deepspeed::accel {

/// Resident bytes now (VmRSS) and at most so far (VmHWM); 0 where /proc does not say.
int64_t resident_bytes();
int64_t peak_resident_bytes();

}  // namespace deepspeed::accel
