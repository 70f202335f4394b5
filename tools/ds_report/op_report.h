// The table of ops: DeepSpeed's names, and which instruction set each of our kernels takes on this processor,
// or which of its ways an op takes on this kernel.
#pragma once

#include <string>

namespace deepspeed::report {

/// `color`: green and red as on a terminal.
std::string op_report(bool color);

}  // namespace deepspeed::report
