#include "deepspeed/launcher/core_list.h"

#include <fmt/format.h>

#include <charconv>
#include <numeric>
#include <optional>

#include "deepspeed/base/error.h"

namespace deepspeed::launcher {
namespace {

std::optional<int> parse_number(std::string_view text) {
  int value = 0;
  auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc() || end != text.data() + text.size() || text.front() == '-') return std::nullopt;
  return value;
}

}  // namespace

std::vector<int> parse_core_list(std::string_view text) {
  std::vector<int> cores;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    const size_t dash = part.find('-');
    const auto first = parse_number(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_number(part.substr(dash + 1));
    DS_CHECK(first && last,
             "core list '{}': '{}' is neither a core's number nor a range such as 3-5 (no spaces)", text,
             part);
    DS_CHECK(*first <= *last, "core list '{}': range '{}' ends before it begins", text, part);
    DS_CHECK(*last < kMaxCores, "core list '{}': core {} is not below {}", text, *last, kMaxCores);
    DS_CHECK(cores.empty() || *first > cores.back(),
             "core list '{}': '{}' follows core {}; cores must ascend and none may come twice", text, part,
             cores.back());
    const size_t before = cores.size();
    cores.resize(before + static_cast<size_t>(*last - *first + 1));
    std::iota(cores.begin() + static_cast<std::ptrdiff_t>(before), cores.end(), *first);
    begin = end + 1;
  }
  return cores;
}

std::string format_core_list(std::span<const int> cores) {
  std::string text;
  for (size_t begin = 0; begin < cores.size();) {
    size_t end = begin + 1;
    while (end < cores.size() && cores[end] == cores[end - 1] + 1) ++end;
    text += fmt::format("{}{}", text.empty() ? "" : ",", cores[begin]);
    if (end - begin > 1) text += fmt::format("-{}", cores[end - 1]);
    begin = end;
  }
  return text;
}

}  // namespace deepspeed::launcher
