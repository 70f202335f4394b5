// How much memory this process holds, as the operating system counts it.
#pragma once

#include <cstdint>

namespace deepspeed::accel {

/// Resident bytes now (VmRSS) and at most so far (VmHWM); 0 where /proc does not say.
int64_t resident_bytes();
int64_t peak_resident_bytes();

/// Of the whole machine: all of it, and what programs could still get (0 where /proc does not say).
int64_t physical_memory_bytes();
int64_t available_memory_bytes();

/// Lets the C allocator keep what is freed instead of giving every large tensor back to the system, which
/// would clear and fault its pages in again in the next step. For programs that train; call before threads
/// start. Process-wide.
void keep_freed_memory();
bool keeps_freed_memory();

}  // namespace deepspeed::accel
