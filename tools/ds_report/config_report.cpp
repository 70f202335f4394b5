#include "tools/ds_report/config_report.h"

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/engine/parse_config.h"
#include "deepspeed/engine/schema.h"

namespace deepspeed::report {
namespace {

using config::Json;

const Json* find_given(const Json& block, const config::Field& field) {
  if (!block.is_object()) return nullptr;
  if (auto it = block.find(field.key); it != block.end()) return &*it;
  for (const std::string& alias : field.aliases)
    if (auto it = block.find(alias); it != block.end()) return &*it;
  return nullptr;
}

Json in_force(const config::Table& table, const Json& given) {
  if (table.any_name) return given;
  Json out = Json::object();
  for (const config::Field& field : table.fields) {
    const Json* value = find_given(given, field);
    const bool is_block = field.table && !field.is_list;
    if (value == nullptr && (field.deprecated || !field.feature.empty())) continue;
    if (value == nullptr && field.initial.is_object() && !is_block)
      continue;  // a mapping of the user's own names
    if (!is_block || (value != nullptr && !value->is_object())) {
      out[field.key] = value != nullptr ? *value : field.initial;
      continue;
    }
    Json block = in_force(*field.table, value != nullptr ? *value : Json::object());
    if (value != nullptr || !block.empty()) out[field.key] = std::move(block);
  }
  return out;
}

}  // namespace

std::string config_report(const std::string& path, int world_size) {
  const engine::DeepspeedConfig parsed = engine::parse_config(path, world_size);
  Json json = in_force(*engine::schema().table(), parsed.raw);
  json["train_batch_size"] = parsed.engine.train_batch_size;
  json["train_micro_batch_size_per_gpu"] = parsed.engine.train_micro_batch_size_per_gpu;
  json["gradient_accumulation_steps"] = parsed.engine.gradient_accumulation_steps;
  std::string out;
  for (const std::string& warning : parsed.warnings) out += "// " + warning + "\n";
  return out + json.dump(2) + "\n";
}

}  // namespace deepspeed::report
