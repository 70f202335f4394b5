// Lists of CPU cores as people write them: 1,3-5,7. After DeepSpeed's utils/numa.py.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace deepspeed::launcher {

/// Cores of the largest machine; a larger number is taken for a typing error.
inline constexpr int kMaxCores = 1 << 16;

/// "1,3-5,7" -> 1 3 4 5 7. Numbers and ranges (both ends included), in ascending order, none twice, no
/// spaces; anything else is an Error that quotes the list and its bad part.
std::vector<int> parse_core_list(std::string_view text);

/// The shortest such list. `cores` ascend.
std::string format_core_list(std::span<const int> cores);

}  // namespace deepspeed::launcher
