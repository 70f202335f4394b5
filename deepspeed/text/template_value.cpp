#include "deepspeed/text/template_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "deepspeed/base/error.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

constexpr int kMaxDepth = 100;

int deeper(int deepest) {
  DS_CHECK(deepest < kMaxDepth, "lists and dicts lie more than {} deep in each other", kMaxDepth);
  return deepest + 1;
}

TemplateValue converted(const nlohmann::ordered_json& json, const std::string& what) {
  using Json = nlohmann::ordered_json;
  switch (json.type()) {
    case Json::value_t::boolean:
      return TemplateValue(json.get<bool>());
    case Json::value_t::number_integer:
      return TemplateValue(json.get<int64_t>());
    case Json::value_t::number_unsigned:
      DS_CHECK(json.get<uint64_t>() <= INT64_MAX, "{}: the number {} needs more than 64 bits", what,
               json.dump());
      return TemplateValue(json.get<int64_t>());
    case Json::value_t::number_float:
      return TemplateValue(json.get<double>());
    case Json::value_t::string:
      return TemplateValue(json.get<std::string>());
    case Json::value_t::array: {
      TemplateValue::Items items;
      for (const auto& item : json) items.push_back(converted(item, what));
      return TemplateValue::list(std::move(items));
    }
    case Json::value_t::object: {
      TemplateValue::Pairs pairs;
      for (const auto& [key, value] : json.items())
        pairs.emplace_back(TemplateValue(key), converted(value, what));
      return TemplateValue::dict(std::move(pairs));
    }
    default:
      return TemplateValue::None{};
  }
}

// A whole number that the parser would make a fraction.
void check_number(std::string_view json, size_t at, const std::string& what) {
  const size_t end = std::min(json.find_first_not_of("+-.eE0123456789", at), json.size());
  const std::string_view number = json.substr(at, end - at);
  int64_t value = 0;
  const bool fits = number.find_first_of(".eE") != std::string_view::npos ||
                    std::from_chars(number.data(), number.data() + number.size(), value).ec !=
                        std::errc::result_out_of_range;
  DS_CHECK(fits, "{}: the number {} needs more than 64 bits", what, quote(number));
}

// Nesting beyond what converted() may recurse into, and numbers beyond what it may hold.
void check_limits(std::string_view json, const std::string& what) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (quoted) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      DS_CHECK(++depth <= kMaxDepth, "{}: lists and objects lie more than {} deep in each other", what,
               kMaxDepth);
    } else if (c == ']' || c == '}') {
      --depth;
    } else if (c == '-' || (c >= '0' && c <= '9')) {
      check_number(json, i, what);
      i = std::min(json.find_first_not_of("+-.eE0123456789", i), json.size()) - 1;
    }
  }
}

}  // namespace

TemplateValue::TemplateValue(std::string text, bool markup)
    : value_(std::make_shared<const TemplateText>(TemplateText{std::move(text), markup})) {}

TemplateValue TemplateValue::list(Items items, TemplateList::Kind kind) {
  int deepest = 0;
  for (const TemplateValue& item : items) deepest = std::max(deepest, item.depth());
  TemplateValue out;
  out.value_ = std::make_shared<const TemplateList>(TemplateList{std::move(items), kind, deeper(deepest)});
  return out;
}

TemplateValue TemplateValue::dict(Pairs items) {
  auto made = std::make_shared<TemplateDict>();
  int deepest = 0;
  std::vector<std::string_view> seen;  // sorted text keys; the others are few
  for (auto& [key, value] : items) {
    deepest = std::max({deepest, key.depth(), value.depth()});
    bool known = true;
    if (const std::string* text = key.text()) {
      const auto at = std::lower_bound(seen.begin(), seen.end(), *text);
      known = at != seen.end() && *at == *text;
      if (!known) seen.insert(at, *text);
    }
    const auto same =
        known ? std::find_if(made->items.begin(), made->items.end(),
                             [&wanted = key](const auto& entry) { return equal(entry.first, wanted); })
              : made->items.end();
    if (same != made->items.end())
      same->second = std::move(value);
    else
      made->items.emplace_back(std::move(key), std::move(value));
  }
  made->depth = deeper(deepest);
  TemplateValue out;
  out.value_ = std::shared_ptr<const TemplateDict>(std::move(made));
  return out;
}

TemplateValue TemplateValue::from_json(std::string_view json, const std::string& what) {
  check_limits(json, what);
  try {
    return converted(nlohmann::ordered_json::parse(json), what);
  } catch (const nlohmann::json::exception& error) {
    const std::string text = error.what();
    base::fail("{}: not valid JSON: {}", what, one_line(text.substr(text.find(' ') + 1)));
  }
}

int TemplateValue::depth() const {
  if (const auto* list = as<List>()) return (*list)->depth;
  if (const auto* dict = as<Dict>()) return (*dict)->depth;
  return 0;
}

bool TemplateValue::truthy() const {
  if (is_undefined() || is_none()) return false;
  if (is_integer()) return integer() != 0;
  if (const double* number = as<double>()) return *number != 0;
  if (const std::string* s = text()) return !s->empty();
  if (const Items* list = items()) return is(TemplateList::Kind::kGenerator) || !list->empty();
  if (const Pairs* dict = pairs()) return !dict->empty();
  return true;
}

const char* TemplateValue::type_name() const {
  static constexpr const char* kNames[] = {"Undefined", "NoneType", "bool", "int",       "float",
                                           "str",       "list",     "dict", "Namespace", "function"};
  static constexpr const char* kLists[] = {"list",      "tuple",       "range",     "generator",
                                           "dict_keys", "dict_values", "dict_items"};
  return as<List>() != nullptr ? kLists[static_cast<size_t>((*as<List>())->kind)] : kNames[value_.index()];
}

const TemplateValue* TemplateValue::find(const TemplateValue& key) const {
  if (pairs() == nullptr) return nullptr;
  for (const auto& [name, value] : *pairs())
    if (equal(name, key)) return &value;
  return nullptr;
}

const TemplateValue* TemplateValue::find(std::string_view key) const {
  if (pairs() == nullptr) return nullptr;
  for (const auto& [name, value] : *pairs())
    if (name.text() != nullptr && *name.text() == key) return &value;
  return nullptr;
}

bool equal(const TemplateValue& a, const TemplateValue& b) {
  if (a.is_integer() && b.is_integer()) return a.integer() == b.integer();
  if (a.is_number() && b.is_number()) return a.number() == b.number();
  if (a.text() != nullptr && b.text() != nullptr) return *a.text() == *b.text();
  if (a.items() != nullptr && b.items() != nullptr) {
    if (!a.is_sequence() || !b.is_sequence())
      base::fail("comparing a {} with a {} is not supported", a.type_name(), b.type_name());
    return (*a.as<TemplateValue::List>())->kind == (*b.as<TemplateValue::List>())->kind &&
           std::equal(a.items()->begin(), a.items()->end(), b.items()->begin(), b.items()->end(), equal);
  }
  if (a.pairs() != nullptr && b.pairs() != nullptr) {
    return a.pairs()->size() == b.pairs()->size() &&
           std::all_of(a.pairs()->begin(), a.pairs()->end(), [&](const auto& entry) {
             const TemplateValue* other = b.find(entry.first);
             return other != nullptr && equal(entry.second, *other);
           });
  }
  if (const auto* space = a.as<TemplateValue::Namespace>())
    return b.as<TemplateValue::Namespace>() != nullptr && *space == *b.as<TemplateValue::Namespace>();
  if (const auto* callable = a.as<TemplateValue::Callable>())
    return b.as<TemplateValue::Callable>() != nullptr && *callable == *b.as<TemplateValue::Callable>();
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

bool less(const TemplateValue& a, const TemplateValue& b) {
  if (a.is_integer() && b.is_integer()) return a.integer() < b.integer();
  if (a.is_number() && b.is_number()) return a.number() < b.number();
  if (a.text() != nullptr && b.text() != nullptr)
    return *a.text() < *b.text();  // UTF-8 sorts as code points do
  if (a.is_sequence() && b.is_sequence() && a.is_tuple() == b.is_tuple()) {
    const size_t count = std::min(a.items()->size(), b.items()->size());
    for (size_t i = 0; i < count; ++i)
      if (!equal((*a.items())[i], (*b.items())[i])) return less((*a.items())[i], (*b.items())[i]);
    return a.items()->size() < b.items()->size();
  }
  base::fail("'{}' and '{}' have no order", a.type_name(), b.type_name());
}

}  // namespace deepspeed::text
