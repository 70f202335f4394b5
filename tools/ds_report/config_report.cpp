#include "tools/ds_report/config_report.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>

#include "deepspeed/base/env.h"
#include "deepspeed/config/environment.h"
#include "deepspeed/engine/parse_config.h"

namespace deepspeed::report {
namespace {

using config::Json;
using Row = std::array<std::string, 4>;

constexpr size_t kWidestValue = 48;
constexpr const char* kNotYet = "not available yet: ";

engine::ConfigReport explain(const ConfigReportOptions& options) {
  engine::AutoFacts facts;
  if (!options.model.empty())
    facts = engine::facts_of_model(std::filesystem::path(options.model) / "config.json");
  if (options.steps > 0) facts.total_steps = options.steps;
  return engine::explain_config(config::load(options.config), options.world_size, facts);
}

std::string effect(const config::Explained& key) {
  return key.field->feature.empty() ? key.field->doc_line : kNotYet + key.field->feature;
}

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() <= kWidestValue) return text;
  size_t cut = kWidestValue - 3;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;
  return text.substr(0, cut) + "...";
}

std::string aligned(const std::vector<Row>& rows) {
  std::array<size_t, 3> widths{};
  for (const Row& row : rows)
    for (size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string out;
  for (const Row& row : rows)
    out += fmt::format("{:{}} | {:{}} | {:{}} | {}\n", row[0], widths[0], row[1], widths[1], row[2],
                       widths[2], row[3]);
  return out;
}

std::string as_table(const engine::ConfigReport& report) {
  std::vector<Row> rows{{"key", "value", "source", "effect"}};
  for (const config::Explained& key : report.keys)
    rows.push_back({key.key, shown(key.value), key.source, effect(key)});
  for (const config::Variable& variable : config::variables())
    if (auto value = variable.of_a_run ? base::env(variable.name) : std::nullopt)
      rows.push_back({variable.name, *value, "environment", variable.doc});
  std::string out = aligned(rows);
  for (const std::string& warning : report.warnings) out += "warning: " + warning + "\n";
  return out;
}

Json as_json(const engine::ConfigReport& report, int world_size) {
  Json out{{"world_size", world_size}, {"keys", Json::array()}};
  for (const config::Explained& key : report.keys) {
    Json row{{"key", key.key}, {"value", key.value}, {"origin", config::origin_name(key.origin)}};
    if (!key.where.empty()) row["where"] = key.where;
    row["source"] = key.source;
    row["available"] = key.field->feature.empty();
    row["effect"] = effect(key);
    out["keys"].push_back(std::move(row));
  }
  out["environment"] = Json::object();
  for (const config::Variable& variable : config::variables())
    if (auto value = variable.of_a_run ? base::env(variable.name) : std::nullopt)
      out["environment"][variable.name] = *value;
  out["warnings"] = report.warnings;
  return out;
}

}  // namespace

std::string config_report(const ConfigReportOptions& options) {
  const engine::ConfigReport report = explain(options);
  if (!options.json) return as_table(report);
  return as_json(report, options.world_size).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string config_reference_json() { return engine::config_reference_json().dump(1) + "\n"; }

}  // namespace deepspeed::report
