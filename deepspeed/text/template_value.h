// Values of chat templates: what Python has for them, and no more.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace deepspeed::text {

class TemplateValue;

struct TemplateText {
  std::string text;     // UTF-8
  bool markup = false;  // what `safe` and `escape` return; joining it to other text would escape that
};
struct TemplateList {
  /// What Python has there: the looks and abilities of these differ, and a generator's items are gone once
  /// read.
  enum class Kind { kList, kTuple, kRange, kGenerator, kDictKeys, kDictValues, kDictItems };
  std::vector<TemplateValue> items;
  Kind kind = Kind::kList;
  int depth = 1;            // of lists and dicts within each other
  mutable size_t read = 0;  // items of a generator that are gone
};
struct TemplateDict {
  std::vector<std::pair<TemplateValue, TemplateValue>> items;  // in order of insertion
  int depth = 1;
};
/// The one thing that templates may change.
struct TemplateNamespace {
  std::vector<std::pair<std::string, TemplateValue>> items;
};
struct TemplateCallable;  // a macro, a function, a method with its object: template_renderer.h

class TemplateValue {
 public:
  struct Undefined {};
  struct None {};
  using Text = std::shared_ptr<const TemplateText>;
  using List = std::shared_ptr<const TemplateList>;
  using Dict = std::shared_ptr<const TemplateDict>;
  using Namespace = std::shared_ptr<TemplateNamespace>;
  using Callable = std::shared_ptr<const TemplateCallable>;
  using Items = std::vector<TemplateValue>;
  using Pairs = std::vector<std::pair<TemplateValue, TemplateValue>>;

  TemplateValue() = default;  // undefined
  TemplateValue(None) : value_(None{}) {}
  explicit TemplateValue(bool value) : value_(value) {}
  explicit TemplateValue(int64_t value) : value_(value) {}
  explicit TemplateValue(double value) : value_(value) {}
  explicit TemplateValue(std::string text, bool markup = false);
  explicit TemplateValue(Namespace value) : value_(std::move(value)) {}
  explicit TemplateValue(Callable value) : value_(std::move(value)) {}
  /// An Error where lists lie more than 100 deep in each other.
  static TemplateValue list(Items items, TemplateList::Kind kind = TemplateList::Kind::kList);
  static TemplateValue tuple(Items items) { return list(std::move(items), TemplateList::Kind::kTuple); }
  /// The last of equal keys counts, at the first one's place.
  static TemplateValue dict(Pairs items);
  /// An Error naming `what` where `json` is not JSON, or holds a whole number beyond 64 bits.
  static TemplateValue from_json(std::string_view json, const std::string& what);

  template <typename T>
  const T* as() const {
    return std::get_if<T>(&value_);
  }
  bool is_undefined() const { return as<Undefined>() != nullptr; }
  bool is_none() const { return as<None>() != nullptr; }
  bool is_number() const {
    return as<bool>() != nullptr || as<int64_t>() != nullptr || as<double>() != nullptr;
  }
  bool is_integer() const { return as<bool>() != nullptr || as<int64_t>() != nullptr; }
  int64_t integer() const { return as<bool>() != nullptr ? (*as<bool>() ? 1 : 0) : *as<int64_t>(); }
  double number() const { return as<double>() != nullptr ? *as<double>() : static_cast<double>(integer()); }
  const std::string* text() const { return as<Text>() != nullptr ? &(*as<Text>())->text : nullptr; }
  bool is_markup() const { return as<Text>() != nullptr && (*as<Text>())->markup; }
  /// Of whatever Python iterates over by position.
  const Items* items() const { return as<List>() != nullptr ? &(*as<List>())->items : nullptr; }
  bool is(TemplateList::Kind kind) const { return as<List>() != nullptr && (*as<List>())->kind == kind; }
  bool is_tuple() const { return is(TemplateList::Kind::kTuple); }
  /// A list, a tuple or a range: what has a length and places.
  bool is_sequence() const {
    return is(TemplateList::Kind::kList) || is_tuple() || is(TemplateList::Kind::kRange);
  }
  const Pairs* pairs() const { return as<Dict>() != nullptr ? &(*as<Dict>())->items : nullptr; }
  int depth() const;

  bool truthy() const;
  /// Python's name of the type.
  const char* type_name() const;
  /// The value of a dict's key; null when there is none.
  const TemplateValue* find(const TemplateValue& key) const;
  const TemplateValue* find(std::string_view key) const;

 private:
  std::variant<Undefined, None, bool, int64_t, double, Text, List, Dict, Namespace, Callable> value_;
};

/// Python's ==.
bool equal(const TemplateValue& a, const TemplateValue& b);
/// Python's <; an Error where it has no order for the two.
bool less(const TemplateValue& a, const TemplateValue& b);
/// Python's str() and repr().
std::string to_text(const TemplateValue& value);
std::string repr(const TemplateValue& value);

struct JsonStyle {
  bool ensure_ascii = false;
  std::string indent;  // of each level
  bool indents = false;
  std::string item_separator = ", ", key_separator = ": ";
  bool sort_keys = false;
};
/// Python's json.dumps.
std::string to_json(const TemplateValue& value, const JsonStyle& style);

}  // namespace deepspeed::text
