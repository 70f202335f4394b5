// The MPI-style list of machines and their slots. After DeepSpeed's launcher/runner.py.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace deepspeed::launcher {

/// One machine and the ids of the slots (accelerators, ranks) to use on it.
struct Host {
  std::string name;
  std::vector<int> slots;
  bool operator==(const Host&) const = default;
};

/// Machines in the order that gives their node rank.
using HostPool = std::vector<Host>;

/// Slots one host may offer; more is taken for a typing error.
inline constexpr int kMaxSlots = 4096;

/// Lines are "NAME slots=N" (what follows N is ignored), blank, or start with '#'; slots become ids 0..N-1.
/// Any other line, a name given twice, N outside 1..kMaxSlots, and a text without hosts are Errors that name
/// `source` and the line.
HostPool parse_hostfile(std::string_view text, std::string_view source);

/// Nothing when there is no such file.
std::optional<HostPool> read_hostfile(const std::filesystem::path& path);

}  // namespace deepspeed::launcher
