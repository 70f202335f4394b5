#include "deepspeed/observe/memory_lines.h"

#include <fmt/format.h>

#include <cmath>

#include "deepspeed/observe/python_text.h"

namespace deepspeed::observe {
namespace {

// Python's round(value, digits).
std::string rounded(double value, int digits) {
  const double unit = std::pow(10, digits);
  return python_float(std::nearbyint(value * unit) / unit);
}

std::string gigabytes(int64_t bytes) { return rounded(static_cast<double>(bytes) / std::exp2(30), 2); }

}  // namespace

std::vector<std::string> memory_lines(const std::string& where, const MemoryUse& use) {
  constexpr const char* kGap = "        ";
  const std::string now = gigabytes(use.resident), peak = gigabytes(use.peak);
  const int64_t used = use.total - use.available;
  const double percent =
      use.total > 0 ? 100.0 * static_cast<double>(used) / static_cast<double>(use.total) : 0;
  return {
      where,
      fmt::format("MA {} GB {}Max_MA {} GB {}CA {} GB {}Max_CA {:.0f} GB ", now, kGap, peak, kGap, now, kGap,
                  static_cast<double>(use.peak) / std::exp2(30)),
      fmt::format("CPU Virtual Memory:  used = {} GB, percent = {}%", gigabytes(used), rounded(percent, 1))};
}

}  // namespace deepspeed::observe
