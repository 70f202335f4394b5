#include "deepspeed/launcher/hostfile.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"

namespace deepspeed::launcher {
namespace {

constexpr std::string_view kBlanks = " \t\r\f\v";

std::string_view trim(std::string_view text) {
  size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// For messages: at most 80 bytes, those that no terminal shows as '?'.
std::string shown(std::string_view text) {
  constexpr size_t kMost = 80;
  std::string out(text.substr(0, kMost));
  for (char& c : out)
    if (c < ' ' || c > '~') c = '?';
  return text.size() > kMost ? out + "..." : out;
}

/// N of "NAME slots=N...", and the name; nothing when the line is not of that form.
std::optional<std::pair<std::string_view, int>> parse_line(std::string_view line) {
  size_t name_end = line.find_first_of(kBlanks);
  if (name_end == std::string_view::npos) return std::nullopt;
  std::string_view rest = trim(line.substr(name_end));
  constexpr std::string_view kKey = "slots=";
  if (!rest.starts_with(kKey)) return std::nullopt;
  rest.remove_prefix(kKey.size());
  unsigned count = 0;
  auto [end, status] = std::from_chars(rest.data(), rest.data() + rest.size(), count);
  if (end == rest.data()) return std::nullopt;
  const bool fits = status == std::errc() && count <= static_cast<unsigned>(kMaxSlots);
  return std::pair{line.substr(0, name_end), fits ? static_cast<int>(count) : kMaxSlots + 1};
}

}  // namespace

HostPool parse_hostfile(std::string_view text, std::string_view source) {
  HostPool pool;
  for (int number = 1; !text.empty(); ++number) {
    size_t end = text.find('\n');
    std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.front() == '#') continue;
    auto parsed = parse_line(line);
    DS_CHECK(parsed, "hostfile {}, line {}: '{}' is not of the form 'NAME slots=N'", source, number,
             shown(line));
    auto [name, count] = *parsed;
    DS_CHECK(count >= 1 && count <= kMaxSlots, "hostfile {}, line {}: host '{}' needs between 1 and {} slots",
             source, number, shown(name), kMaxSlots);
    DS_CHECK(std::ranges::none_of(pool, [&seen = name](const Host& h) { return h.name == seen; }),
             "hostfile {}, line {}: host '{}' is listed twice; give it one line with all its slots", source,
             number, shown(name));
    Host& host = pool.emplace_back(Host{std::string(name), std::vector<int>(count)});
    std::iota(host.slots.begin(), host.slots.end(), 0);
  }
  DS_CHECK(!pool.empty(), "hostfile {} lists no host; add lines of the form 'NAME slots=N'", source);
  return pool;
}

std::optional<HostPool> read_hostfile(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  return parse_hostfile(base::read_text_file(path, size_t{64} << 20), path.string());
}

}  // namespace deepspeed::launcher
