#include "deepspeed/launcher/bind_process.h"

#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

namespace deepspeed::launcher {

bool bind_cores_here(const CoreBinding& binding) {
  const auto count = static_cast<size_t>(binding.cores.back()) + 1;
  const auto free_set = [](cpu_set_t* set) { CPU_FREE(set); };
  const std::unique_ptr<cpu_set_t, decltype(free_set)> set(CPU_ALLOC(count), free_set);
  if (!set) return errno = ENOMEM, false;
  const size_t size = CPU_ALLOC_SIZE(count);
  CPU_ZERO_S(size, set.get());
  for (int core : binding.cores) CPU_SET_S(static_cast<size_t>(core), size, set.get());
  return ::sched_setaffinity(0, size, set.get()) == 0;
}

bool bind_memory_here(const CoreBinding& binding) {
  if (binding.memory == CoreBinding::Memory::kAnywhere) return true;
  constexpr size_t kBits = 8 * sizeof(unsigned long);
  std::vector<unsigned long> mask;
  for (int node : binding.nodes) {
    const auto bit = static_cast<size_t>(node);
    if (mask.size() <= bit / kBits) mask.resize(bit / kBits + 1);
    mask[bit / kBits] |= 1UL << (bit % kBits);
  }
  const int mode = binding.memory == CoreBinding::Memory::kOnly ? MPOL_BIND : MPOL_PREFERRED;
  // The kernel takes one bit less than it is told.
  return ::syscall(SYS_set_mempolicy, mode, mask.data(), mask.size() * kBits + 1) == 0;
}

}  // namespace deepspeed::launcher
