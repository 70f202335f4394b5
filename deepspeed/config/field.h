// One configuration key: how it is spelled, typed, bounded, documented and read.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "deepspeed/config/convert.h"
#include "deepspeed/config/data_type.h"

namespace deepspeed::config {

class Table;
/// Lines for rank 0 to print.
using Warnings = std::vector<std::string>;

/// What "auto" stands for in one file.
struct AutoValue {
  /// Nothing: it cannot be known, and `reason` says why. A null: as if the key were left out.
  std::optional<Json> value;
  std::string reason;
};

/// One of several tables that a key may hold; another key of the block picks it by `name`.
struct Variant {
  std::string name;
  std::shared_ptr<Table> table;
  /// The struct that the table fills inside the surrounding block's; null when another variant is there.
  std::function<const void*(const void* target)> place;
};

/// One row of a Table. The chained setters are for schema.cpp files.
class Field {
 public:
  Field(std::string key, std::string type, Json initial)
      : key(std::move(key)), type(std::move(type)), initial(std::move(initial)) {}

  std::string key;
  /// Other spellings, all equal.
  std::vector<std::string> aliases;
  /// As documentation names it: "bool", "int", "number", "text", "object", "fp16 | fp32".
  std::string type;
  Json initial;
  std::string doc_line;
  /// Not empty: what has to be built before this key may be switched on.
  std::string feature;
  /// With a feature: the values that leave it off; empty: every value.
  std::vector<Json> harmless;
  /// Not empty: where the value comes from when the file has none and it is not the default.
  std::string derived_from;
  Limits limits;
  bool nullable = false;
  bool bool_as_number = true;
  bool required = false;
  /// The word "auto" is a value of this key.
  bool auto_is_value = false;
  /// The keys below, when this is a block or (is_list) a list of blocks.
  std::shared_ptr<Table> table;
  bool is_list = false;
  /// Tables of which the sibling key `picked_by` picks one.
  std::vector<Variant> variants;
  std::string picked_by;
  std::function<void(const Node& node, void* target, const Rules& rules, Warnings& warnings)> read;
  /// The value in force, from the struct that holds it; without it what the file says is shown.
  std::function<Json(const void* target)> show;
  /// The struct of the block `table`, inside the surrounding block's.
  std::function<const void*(const void* target)> place;
  /// What "auto" means here. Without an answer it is the default in strict blocks and an error elsewhere.
  std::function<AutoValue(const Node& block)> resolve_auto;
  /// Called when the block is there without this key.
  std::function<void(const Node& block)> when_absent;
  /// Turns an old form of the value into today's, before anything else looks at it; `block` is the
  /// surrounding object.
  std::function<std::optional<Json>(const Node& node, const Node& block, Warnings& warnings)> rewrite;
  /// A deprecated key: its value goes to `replacement` (same block) through `convert`; nothing or a null
  /// result sets nothing. An empty `replacement`: the key is accepted and has no effect.
  bool deprecated = false;
  std::string replacement;
  std::function<std::optional<Json>(const Json& value)> convert;

  Field& alias(std::string name) { return aliases.push_back(std::move(name)), *this; }
  Field& doc(std::string line) { return doc_line = std::move(line), *this; }
  Field& range(double min, double max) { return limits.min = min, limits.max = max, *this; }
  Field& at_least(double min) { return limits.min = min, *this; }
  Field& above(double min) { return limits.min = min, limits.min_open = true, *this; }
  Field& below(double max) { return limits.max = max, limits.max_open = true, *this; }
  Field& no_bool() { return bool_as_number = false, *this; }
  Field& derived(std::string from) { return derived_from = std::move(from), *this; }
  Field& require() { return required = true, *this; }
};

/// A deprecated spelling. `convert` empty: the value passes unchanged.
Field deprecated_field(std::string key, std::string type, std::string replacement, std::string doc,
                       std::function<std::optional<Json>(const Json& value)> convert = {});

/// "a | b | c".
std::string join_choices(const std::vector<std::string>& words);

/// The names of number formats and their meaning.
const std::vector<std::pair<std::string, DataType>>& data_type_names();

/// How a member of type M is named in documentation, shown and read.
template <class M>
struct Value;

template <>
struct Value<bool> {
  static constexpr bool kNullable = false;
  static std::string type() { return "bool"; }
  static Json to_json(bool v) { return v; }
  static bool read(const Node& node, const Rules& rules) { return read_bool(node, rules); }
};
template <>
struct Value<int64_t> {
  static constexpr bool kNullable = false;
  static std::string type() { return "int"; }
  static Json to_json(int64_t v) { return v; }
  static int64_t read(const Node& node, const Rules& rules) { return read_int(node, rules); }
};
template <>
struct Value<int> {
  static constexpr bool kNullable = false;
  static std::string type() { return "int"; }
  static Json to_json(int v) { return v; }
  static int read(const Node& node, const Rules& rules) {
    int64_t value = read_int(node, rules);
    if (value != static_cast<int>(value)) fail_value(node, "a whole number within 32 bits");
    return static_cast<int>(value);
  }
};
template <>
struct Value<double> {
  static constexpr bool kNullable = false;
  static std::string type() { return "number"; }
  static Json to_json(double v) { return v; }
  static double read(const Node& node, const Rules& rules) { return read_number(node, rules); }
};
template <>
struct Value<std::string> {
  static constexpr bool kNullable = false;
  static std::string type() { return "text"; }
  static Json to_json(const std::string& v) { return v; }
  static std::string read(const Node& node, const Rules& rules) { return read_text(node, rules); }
};
template <>
struct Value<std::vector<std::string>> {
  static constexpr bool kNullable = false;
  static std::string type() { return "text or list"; }
  static Json to_json(const std::vector<std::string>& v) { return v; }
  static std::vector<std::string> read(const Node& node, const Rules& rules) {
    return read_texts(node, rules);
  }
};
template <>
struct Value<std::vector<double>> {
  static constexpr bool kNullable = false;
  static std::string type() { return "number or list"; }
  static Json to_json(const std::vector<double>& v) {
    return v.empty() ? Json(nullptr) : v.size() == 1 ? Json(v[0]) : Json(v);
  }
  static std::vector<double> read(const Node& node, const Rules& rules) { return read_numbers(node, rules); }
};
template <>
struct Value<std::array<double, 2>> {
  static constexpr bool kNullable = false;
  static std::string type() { return "two numbers"; }
  static Json to_json(const std::array<double, 2>& v) { return v; }
  static std::array<double, 2> read(const Node& node, const Rules& rules) {
    if (!node.json().is_array() || node.json().size() != 2) fail_value(node, "a list of two numbers");
    auto parts = node.children();
    return {read_number(parts[0], rules), read_number(parts[1], rules)};
  }
};
template <class M>
struct Value<std::optional<M>> {
  static constexpr bool kNullable = true;
  static std::string type() { return Value<M>::type() + " or null"; }
  static Json to_json(const std::optional<M>& v) { return v ? Value<M>::to_json(*v) : Json(nullptr); }
  static std::optional<M> read(const Node& node, const Rules& rules) { return Value<M>::read(node, rules); }
};

}  // namespace deepspeed::config
