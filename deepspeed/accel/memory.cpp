#include "deepspeed/accel/memory.h"

#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>

namespace deepspeed::accel {
namespace {

int64_t kilobytes_in(const char* file, const std::string& field) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (line.rfind(field, 0) == 0) return std::stoll(line.substr(field.size() + 1));
  return 0;
}

std::atomic<bool> keeps_freed = false;

}  // namespace

int64_t resident_bytes() { return kilobytes_in("/proc/self/status", "VmRSS") * 1024; }
int64_t peak_resident_bytes() { return kilobytes_in("/proc/self/status", "VmHWM") * 1024; }
int64_t available_memory_bytes() { return kilobytes_in("/proc/meminfo", "MemAvailable") * 1024; }

int64_t physical_memory_bytes() {
  return static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<int64_t>(::sysconf(_SC_PAGE_SIZE));
}

void keep_freed_memory() {
  ::mallopt(M_MMAP_MAX, 0);
  ::mallopt(M_TRIM_THRESHOLD, -1);
  ::mallopt(M_TOP_PAD, 64 << 20);
  keeps_freed = true;
}

bool keeps_freed_memory() { return keeps_freed; }

}  // namespace deepspeed::accel
