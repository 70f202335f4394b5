// What this build and this machine are.
#pragma once

#include <string>

namespace deepspeed::report {

/// Versions, libtorch, compiler, CUDA, processor, shared memory. `warnings`: also say what should be put
/// right.
std::string system_report(bool warnings);

}  // namespace deepspeed::report
