#include "deepspeed/config/schema.h"

#include <stdexcept>

#include "deepspeed/base/error.h"

namespace deepspeed::config {
namespace {

constexpr size_t kUnknownKeysShown = 5;

bool is_auto(const Json& json) { return json.is_string() && json.get_ref<const std::string&>() == "auto"; }

void read_value(const Field& field, const Node& node, bool strict, void* target, Warnings& warnings) {
  const Json& json = node.json();
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

std::vector<Reading> Table::match(const Node& node) const {
  std::vector<Reading> given;
  std::vector<std::string> unknown;
  for (Node& child : node.children()) {
    const Field* field = any_name ? &fields[0] : find(child.key());
    if (field) {
      for (const Reading& other : given)
        DS_CHECK(any_name || other.field != field, "{} and {} are two names of one key; keep '{}'",
                 other.node.describe(), child.describe(), field->key);
      bool alias = !any_name && child.key() != field->key;
      std::string note = alias ? fmt::format("'{}' is another name of this key", child.key()) : "";
      given.push_back({field, std::move(child), alias ? Origin::kAlias : Origin::kFile, std::move(note)});
    } else if (unknown.size() < kUnknownKeysShown) {
      auto near = nearest_name(child.key(), names());
      std::string block = node.path().empty() ? "" : fmt::format(" in {}", node.path());
      unknown.push_back(fmt::format("unknown key '{}'{} at {}{}", child.key(), block, child.where(),
                                    near ? fmt::format("; did you mean '{}'?", *near) : ""));
    }
  }
  if (!unknown.empty()) base::fail("{}", fmt::join(unknown, "; "));
  return given;
}

void Table::replace_deprecated(Reading& entry, const std::vector<Reading>& all, Warnings& warnings) const {
  const Field& old = *entry.field;
  entry.origin = Origin::kDeprecated;
  entry.note = "deprecated, has no effect";
  if (old.replacement.empty())
    return warnings.push_back(
        fmt::format("{}: this key is deprecated and has no effect", entry.node.describe()));
  warnings.push_back(
      fmt::format("{}: this key is deprecated; use '{}'", entry.node.describe(), old.replacement));
  const Field* today = find(old.replacement);
  if (!today) throw std::logic_error("no key '" + old.replacement + "' beside '" + old.key + "'");
  for (const Reading& other : all)
    DS_CHECK(other.field != today, "{} is the deprecated form of {}; both are given, keep '{}'",
             entry.node.describe(), other.node.describe(), today->key);
  if (old.read && !is_auto(entry.node.json())) read_value(old, entry.node, strict, nullptr, warnings);
  std::optional<Json> value = old.convert ? old.convert(entry.node.json()) : entry.node.json();
  entry.note = fmt::format("deprecated; this value leaves '{}' as it is", today->key);
  if (value)
    entry = {today, entry.node.replaced_by(today->key, *value), Origin::kDeprecated,
             fmt::format("'{}' is its deprecated form", old.key)};
}

void Table::resolve_auto(Reading& reading, const Node& block, Warnings& warnings) const {
  const Field& field = *reading.field;
  if (!is_auto(reading.node.json()) || (field.auto_is_value && !strict)) return;
  AutoValue found;
  if (field.resolve_auto) found = field.resolve_auto(block);
  if (found.value) {
    warnings.push_back(fmt::format("{}: {} ({})", reading.node.describe(),
                                   found.value->is_null() ? "left out" : "taken as " + found.value->dump(),
                                   found.reason));
    reading.node = reading.node.replaced_by(reading.node.key(), *found.value);
  } else if (!strict) {
    base::fail(
        "{}: \"auto\" {}; write the value itself, or leave the key out", reading.node.describe(),
        found.reason.empty() ? "is not a value of this key" : "cannot be resolved because " + found.reason);
  }
  reading.origin = Origin::kAuto;
  reading.note = found.value ? "\"auto\": " + found.reason : "\"auto\": the default";
  if (!found.value && !found.reason.empty()) reading.note += ", because " + found.reason;
}

std::vector<Reading> Table::readings(const Node& node, Warnings& warnings) const {
  std::vector<Reading> out = match(node);
  for (Reading& entry : out)
    if (entry.field->deprecated) replace_deprecated(entry, out, warnings);
  for (Reading& entry : out) {
    resolve_auto(entry, node, warnings);
    if (!entry.field->rewrite) continue;
    if (auto today = entry.field->rewrite(entry.node, node, warnings))
      entry = {entry.field, entry.node.replaced_by(entry.field->key, *today), Origin::kOldForm,
               fmt::format("from the old form {}", entry.node.json().dump())};
  }
  return out;
}

void Table::parse(const Node& node, void* target, Warnings& warnings) const {
  if (!node.json().is_object()) fail_value(node, "an object");
  const std::vector<Reading> given = readings(node, warnings);
  for (const Field& field : fields) {
    bool present = false;
    for (const Reading& entry : given) {
      if (entry.field != &field) continue;
      present = true;
      bool dropped = is_auto(entry.node.json()) && entry.origin == Origin::kAuto;
      if (!dropped) read_value(field, entry.node, strict, target, warnings);
    }
    if (present) continue;
    if (field.when_absent) field.when_absent(node);
    DS_CHECK(!field.required, "{} needs '{}' ({}): {}", node.path(), field.key, node.where(), field.doc_line);
  }
  if (finish) finish(node, target, warnings);
}

}  // namespace deepspeed::config
