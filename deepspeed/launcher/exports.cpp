#include "deepspeed/launcher/exports.h"

#include <algorithm>
#include <array>

#include "deepspeed/base/error.h"

namespace deepspeed::launcher {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n\v\f";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

}  // namespace

void set_export(Exports& exports, const std::string& name, const std::string& value) {
  const auto found = std::ranges::find(exports, name, &Exports::value_type::first);
  if (found != exports.end())
    found->second = value;
  else
    exports.emplace_back(name, value);
}

Exports exported_variables(std::span<const std::string> environment) {
  constexpr std::array kPrefixes = {"MLFLOW", "PYTHON", "MV2", "UCX", "NCCL"};
  const bool aisc =
      std::ranges::any_of(environment, [](const std::string& e) { return e.starts_with("AISC_JOB_NAME="); });
  Exports exports;
  for (const std::string& entry : environment) {
    const size_t equals = entry.find('=');
    if (equals == std::string::npos) continue;
    const std::string name = entry.substr(0, equals);
    if (aisc && (name == "NCCL_IB_HCA" || name == "UCX_NET_DEVICES")) continue;
    if (std::ranges::any_of(kPrefixes, [&](const char* prefix) { return name.starts_with(prefix); }))
      set_export(exports, name, entry.substr(equals + 1));
  }
  return exports;
}

void add_exports(std::string_view text, std::string_view source, Exports& exports) {
  int number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.empty() || line.front() == '#') continue;
    const size_t equals = line.find('=');
    const std::string_view name = trimmed(line.substr(0, equals));
    DS_CHECK(equals != std::string_view::npos && !name.empty(), "{}:{}: '{}' is not NAME=value", source,
             number, line);
    set_export(exports, std::string(name), std::string(trimmed(line.substr(equals + 1))));
  }
}

}  // namespace deepspeed::launcher
