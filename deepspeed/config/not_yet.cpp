#include "deepspeed/config/not_yet.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include "deepspeed/base/error.h"

namespace deepspeed::config {
namespace {

constexpr std::string_view kSomeOf = "some of ";

std::vector<std::string> split(std::string_view text, char mark) {
  std::vector<std::string> parts;
  while (true) {
    size_t at = text.find(mark);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

double to_double(std::string_view text) {
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

Rules with_bounds(Rules rules, std::string_view bounds) {
  if (bounds.starts_with(">=")) {
    rules.limits.min = to_double(bounds.substr(2));
  } else if (bounds.starts_with(">")) {
    rules.limits.min = to_double(bounds.substr(1));
    rules.limits.min_open = true;
  } else if (bounds.starts_with(":")) {
    rules.limits.min = to_double(bounds.substr(1));
    rules.limits.max = to_double(bounds.substr(bounds.find("..") + 2));
  }
  return rules;
}

Json read_list(const Node& node, const Rules& rules, Json (*read)(const Node&, const Rules&)) {
  if (!node.json().is_array()) fail_value(node, "a list");
  Json out = Json::array();
  for (const Node& element : node.children()) out.push_back(read(element, rules));
  return out;
}

// "some of a/b/c": a list of such words.
Json some_of(const Node& node, const std::vector<std::string>& words) {
  if (!node.json().is_array()) fail_value(node, "a list");
  Json out = Json::array();
  for (const Node& element : node.children()) out.push_back(words[read_choice(element, words)]);
  return out;
}

Json text_value(const Node& node, const Rules& rules) { return lower(read_text(node, rules)); }
Json int_value(const Node& node, const Rules& rules) { return read_int(node, rules); }

// The value as one alternative of the type language reads it, texts in lower case; an Error when it is none.
Json read_as(const Node& node, const std::string& type, const Rules& rules) {
  const Json& json = node.json();
  if (type == "any") return json;
  if (type == "bool") return read_bool(node, rules);
  if (type == "text") return text_value(node, rules);
  if (type == "texts") return json.is_string() ? text_value(node, rules) : read_list(node, rules, text_value);
  if (type.starts_with(kSomeOf))
    return some_of(node, split(std::string_view(type).substr(kSomeOf.size()), '/'));
  if (type == "ints") return read_list(node, rules, int_value);
  if (type == "numbers") return read_numbers(node, rules);
  if (type == "list" || type == "object") {
    if (type == "list" ? !json.is_array() : !json.is_object())
      fail_value(node, type == "list" ? "a list" : "an object");
    return json;
  }
  if (type.starts_with("int")) return read_int(node, with_bounds(rules, type.substr(3)));
  if (type.starts_with("number")) return read_number(node, with_bounds(rules, type.substr(6)));
  if (!json.is_string() || lower(json.get<std::string>()) != lower(type)) fail_value(node, type);
  return lower(type);
}

Json read_any_of(const Node& node, const std::vector<std::string>& types, const Rules& rules) {
  if (types.size() == 1) return read_as(node, types[0], rules);
  for (const std::string& type : types) {
    try {
      return read_as(node, type, rules);
    } catch (const base::Error&) {
    }
  }
  std::string hint;
  if (node.json().is_string())
    if (auto near = nearest_name(node.json().get<std::string>(), types))
      hint = fmt::format("; did you mean \"{}\"?", *near);
  base::fail("{} must be one of {}: {}{}", node.path(), fmt::join(types, ", "), node.describe(), hint);
}

Json literal(const std::string& text) {
  Json value = Json::parse(text, nullptr, false);
  return value.is_discarded() ? Json(lower(text)) : value;
}

// Where a row's last part belongs: the table of its block, made on the way where it is missing.
Table& block_of(Table& root, const std::vector<std::string>& parts, const char* feature) {
  Table* table = &root;
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    bool list = parts[i].ends_with("[]");
    std::string key = list ? parts[i].substr(0, parts[i].size() - 2) : parts[i];
    Field* field = table->find(key);
    if (!field) {
      NotYetRow row{"", "block", "{}", "", feature};
      field = &table->add(not_yet_field(row, key));
      field->is_list = list;
      if (key.starts_with('<')) table->any_name = true;
    }
    if (!field->table) throw std::logic_error("not_yet: " + key + " is no block");
    table = field->table.get();
  }
  return *table;
}

Field block_field(const std::string& type, const std::string& key) {
  bool nullable = type.ends_with("|null");
  Field field(key, nullable ? "object or null" : "object", nullable ? Json(nullptr) : Json::object());
  field.nullable = nullable;
  field.table = std::make_shared<Table>();
  field.table->strict = type.starts_with("strict");
  field.read = [table = field.table](const Node& node, void*, const Rules&, Warnings& warnings) {
    table->parse(node, nullptr, warnings);
  };
  return field;
}

}  // namespace

void refuse_not_yet(const std::string& feature, const Node& node) {
  base::fail("not available yet: {} ({})", feature, node.describe());
}

Field not_yet_field(const NotYetRow& row, const std::string& key) {
  std::string type = row.type, off = row.off, feature = row.feature;
  if (type.starts_with("block") || type.starts_with("strict")) return block_field(type, key);
  std::vector<std::string> types = split(type, '|');
  bool nullable = std::erase(types, "null") > 0 || type == "any";
  Field field(key, join_choices(types) + (nullable ? " | null" : ""), literal(row.initial));
  field.nullable = nullable;
  field.auto_is_value = std::find(types.begin(), types.end(), "auto") != types.end();
  field.feature = feature;
  if (off.starts_with('!')) {
    off.erase(0, 1);
    field.when_absent = [feature](const Node& block) { refuse_not_yet(feature, block); };
    if (off.empty()) off = "<nothing>";
  }
  std::vector<Json> harmless;
  if (off == "=") harmless.push_back(literal(lower(row.initial)));
  if (!off.empty() && off != "=")
    for (const std::string& text : split(off, '|')) harmless.push_back(literal(text));
  field.harmless = harmless;
  field.read = [types, harmless, feature](const Node& node, void*, const Rules& rules, Warnings&) {
    Json value = read_any_of(node, types, rules);
    if (!harmless.empty() && std::find(harmless.begin(), harmless.end(), value) == harmless.end())
      refuse_not_yet(feature, node);
  };
  return field;
}

void add_not_yet_rows(Table& root, const std::vector<NotYetRow>& rows) {
  for (const NotYetRow& row : rows) {
    std::vector<std::string> parts = split(row.path, '.');
    Table& table = block_of(root, parts, row.feature);
    std::vector<std::string> spellings = split(parts.back(), '/');
    if (table.find(spellings[0])) throw std::logic_error(std::string("not_yet: a module owns ") + row.path);
    Field& field = table.add(not_yet_field(row, spellings[0]));
    field.aliases.assign(spellings.begin() + 1, spellings.end());
    if (spellings[0].starts_with('<')) table.any_name = true;
    if (field.table) field.table->doc = row.feature;
  }
}

std::vector<NotYetRow> not_yet_rows() {
  std::vector<NotYetRow> rows;
  for (auto* part : {not_yet_zero_rows, not_yet_block_rows, not_yet_feature_rows, not_yet_removed_rows})
    for (const NotYetRow& row : part()) rows.push_back(row);
  return rows;
}

}  // namespace deepspeed::config
