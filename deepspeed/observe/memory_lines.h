// What memory_breakdown prints: see_memory_usage of DeepSpeed's runtime/utils.py.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace deepspeed::observe {

/// Bytes: of this process now and at most so far, of the machine in all and still to be had.
struct MemoryUse {
  int64_t resident = 0, peak = 0, total = 0, available = 0;
};

/// `where`, this process's memory and the machine's, in DeepSpeed's words. On a CPU what is allocated (MA)
/// and what is reserved (CA) are both the resident memory.
std::vector<std::string> memory_lines(const std::string& where, const MemoryUse& use);

}  // namespace deepspeed::observe
