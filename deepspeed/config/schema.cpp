#include "deepspeed/config/schema.h"

#include <stdexcept>

#include "deepspeed/base/error.h"

namespace deepspeed::config {
namespace {

constexpr size_t kUnknownKeysShown = 5;

bool is_auto(const Json& json) { return json.is_string() && json.get_ref<const std::string&>() == "auto"; }

void read_value(const Field& field, const Node& node, bool strict, void* target, Warnings& warnings) {
  const Json& json = node.json();
  if (is_auto(json)) {
    if (strict) return;
    if (!field.auto_is_value)
      base::fail("{}: \"auto\" is not a value of this key; write the value itself, or leave the key out",
                 node.describe());
  }
  if (json.is_null()) {
    if (field.nullable) return;
    fail_value(node, field.type + ", not null; leave the key out for its default");
  }
  Rules rules{strict, field.bool_as_number, field.limits};
  if (!field.is_list) return field.read(node, target, rules, warnings);
  if (!json.is_array()) fail_value(node, "a list");
  for (const Node& element : node.children()) field.read(element, target, rules, warnings);
}

}  // namespace

struct Table::Given {
  const Field* field;
  Node node;
};

Field& Table::add(Field field) {
  fields.push_back(std::move(field));
  return fields.back();
}

const Field* Table::find(std::string_view key) const {
  for (const Field& field : fields) {
    if (field.key == key) return &field;
    for (const std::string& alias : field.aliases)
      if (alias == key) return &field;
  }
  return nullptr;
}

Field* Table::find(std::string_view key) {
  return const_cast<Field*>(static_cast<const Table*>(this)->find(key));
}

std::vector<std::string> Table::names() const {
  std::vector<std::string> out;
  for (const Field& field : fields) {
    out.push_back(field.key);
    out.insert(out.end(), field.aliases.begin(), field.aliases.end());
  }
  return out;
}

// Pairs each key of the block with its field, and deprecated keys with the field that took their place.
std::vector<Table::Given> Table::match(const Node& node, Warnings& warnings) const {
  std::vector<Given> given;
  std::vector<std::string> unknown;
  for (Node& child : node.children()) {
    const Field* field = any_name ? &fields[0] : find(child.key());
    if (field) {
      for (const Given& other : given)
        DS_CHECK(any_name || other.field != field, "{} and {} are two names of one key; keep '{}'",
                 other.node.describe(), child.describe(), field->key);
      given.push_back({field, std::move(child)});
    } else if (unknown.size() < kUnknownKeysShown) {
      auto near = nearest_name(child.key(), names());
      std::string block = node.path().empty() ? "" : fmt::format(" in {}", node.path());
      unknown.push_back(fmt::format("unknown key '{}'{} at {}{}", child.key(), block, child.where(),
                                    near ? fmt::format("; did you mean '{}'?", *near) : ""));
    }
  }
  if (!unknown.empty()) base::fail("{}", fmt::join(unknown, "; "));
  for (Given& entry : given) {
    if (!entry.field->deprecated) continue;
    const Field& old = *entry.field;
    if (old.replacement.empty()) {
      warnings.push_back(fmt::format("{}: this key is deprecated and has no effect", entry.node.describe()));
      continue;
    }
    warnings.push_back(
        fmt::format("{}: this key is deprecated; use '{}'", entry.node.describe(), old.replacement));
    const Field* today = find(old.replacement);
    if (!today) throw std::logic_error("no key '" + old.replacement + "' beside '" + old.key + "'");
    for (const Given& other : given)
      DS_CHECK(other.field != today, "{} is the deprecated form of {}; both are given, keep '{}'",
               entry.node.describe(), other.node.describe(), today->key);
    if (old.read) read_value(old, entry.node, strict, nullptr, warnings);
    std::optional<Json> value = old.convert ? old.convert(entry.node.json()) : entry.node.json();
    entry = {value ? today : nullptr, value ? entry.node.replaced_by(today->key, *value) : entry.node};
  }
  return given;
}

void Table::parse(const Node& node, void* target, Warnings& warnings) const {
  if (!node.json().is_object()) fail_value(node, "an object");
  std::vector<Given> given = match(node, warnings);
  for (const Field& field : fields) {
    bool present = false;
    for (const Given& entry : given) {
      if (entry.field != &field) continue;
      present = true;
      Node value = entry.node;
      if (field.rewrite)
        if (auto today = field.rewrite(value, node, warnings)) value = value.replaced_by(field.key, *today);
      read_value(field, value, strict, target, warnings);
    }
    if (present) continue;
    if (field.when_absent) field.when_absent(node);
    DS_CHECK(!field.required, "{} needs '{}' ({}): {}", node.path(), field.key, node.where(), field.doc_line);
  }
  if (finish) finish(node, target, warnings);
}

}  // namespace deepspeed::config
