#include "deepspeed/config/table_json.h"

#include <cmath>

namespace deepspeed::config {
namespace {

Json field_json(const Field& f) {
  Json out{{"key", f.key}, {"type", f.type}, {"default", f.initial}};
  auto add = [&out](const char* key, Json value, bool says_something) {
    if (says_something) out[key] = std::move(value);
  };
  add("aliases", f.aliases, !f.aliases.empty());
  add("nullable", true, f.nullable);
  add("min", f.limits.min, std::isfinite(f.limits.min));
  add("max", f.limits.max, std::isfinite(f.limits.max));
  add("min_open", true, f.limits.min_open);
  add("max_open", true, f.limits.max_open);
  add("no_bool", true, !f.bool_as_number);
  add("required", true, f.required);
  add("auto_is_value", true, f.auto_is_value);
  add("deprecated", true, f.deprecated);
  add("replacement", f.replacement, !f.replacement.empty());
  add("feature", f.feature, !f.feature.empty());
  add("harmless", f.harmless, !f.harmless.empty());
  add("doc", f.doc_line, !f.doc_line.empty());
  add("list", true, f.is_list);
  if (f.table) out["table"] = to_json(*f.table);
  for (const Variant& variant : f.variants) out["variants"][variant.name] = to_json(*variant.table);
  add("picked_by", f.picked_by, !f.picked_by.empty());
  return out;
}

}  // namespace

Json to_json(const Table& table) {
  Json out{{"doc", table.doc}, {"strict", table.strict}, {"keys", Json::array()}};
  if (table.any_name) out["any_name"] = true;
  for (const Field& field : table.fields) out["keys"].push_back(field_json(field));
  return out;
}

}  // namespace deepspeed::config
