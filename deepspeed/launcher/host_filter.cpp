#include "deepspeed/launcher/host_filter.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "deepspeed/base/error.h"

namespace deepspeed::launcher {
namespace {

using SlotsByHost = std::map<std::string_view, std::set<int>>;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

int parse_slot(std::string_view text, std::string_view spec, std::string_view flag) {
  int slot = 0;
  auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), slot);
  DS_CHECK(status == std::errc() && end == text.data() + text.size() && !text.empty(),
           "{} '{}': slot '{}' is not a whole number", flag, spec, text);
  return slot;
}

void add_spec(const HostPool& pool, std::string_view spec, std::string_view flag, SlotsByHost& named) {
  std::vector<std::string_view> parts = split(spec, ':');
  DS_CHECK(parts.size() <= 2, "{} '{}': more than one ':'; write NAME:SLOT,SLOT and '@' between hosts", flag,
           spec);
  auto host = std::ranges::find(pool, parts[0], &Host::name);
  DS_CHECK(host != pool.end(), "{} '{}': host '{}' is not among the hosts to choose from", flag, spec,
           parts[0]);
  std::set<int>& slots = named[host->name];
  if (parts.size() == 1) {
    slots.insert(host->slots.begin(), host->slots.end());
    return;
  }
  for (std::string_view text : split(parts[1], ',')) {
    int slot = parse_slot(text, spec, flag);
    DS_CHECK(std::ranges::find(host->slots, slot) != host->slots.end(),
             "{} '{}': host '{}' has no slot {} (it has {})", flag, spec, host->name, slot,
             host->slots.size());
    slots.insert(slot);
  }
}

}  // namespace

HostPool filter_hosts(const HostPool& pool, std::string_view include, std::string_view exclude) {
  DS_CHECK(include.empty() || exclude.empty(),
           "--include and --exclude cannot be given together; choose one");
  if (include.empty() && exclude.empty()) return pool;
  const bool keep_named = !include.empty();
  SlotsByHost named;
  for (std::string_view spec : split(keep_named ? include : exclude, '@'))
    add_spec(pool, spec, keep_named ? "--include" : "--exclude", named);
  HostPool kept;
  for (const Host& host : pool) {
    const std::set<int>& slots = named[host.name];
    Host left{host.name, {}};
    for (int slot : host.slots)
      if (slots.contains(slot) == keep_named) left.slots.push_back(slot);
    std::ranges::sort(left.slots);
    if (!left.slots.empty()) kept.push_back(std::move(left));
  }
  return kept;
}

}  // namespace deepspeed::launcher
