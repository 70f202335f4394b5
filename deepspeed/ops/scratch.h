// Memory that a kernel works in, one buffer a thread.
#pragma once

#include <cstdint>

namespace deepspeed::ops {

/// At least so many bytes, aligned to a huge page, which the thread keeps and hands out again with the next
/// call: products are small and many. An Error when memory is short.
void* thread_scratch(int64_t bytes);

}  // namespace deepspeed::ops
