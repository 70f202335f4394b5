// Jinja's filters of sequences, dicts and whatever has attributes, and how a filter is found.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "deepspeed/base/error.h"
#include "deepspeed/text/python_text.h"
#include "deepspeed/text/template_filters.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

using Value = TemplateValue;
using Items = TemplateValue::Items;
using Arguments = TemplateCallArguments;
using List = TemplateList::Kind;

// What an `attribute` argument names: keys and indices with dots between them.
Value dotted(TemplateRenderer& renderer, const Value& value, const Value& path) {
  if (path.is_integer()) return renderer.item(value, path);
  DS_CHECK(path.text() != nullptr, "an attribute is a text or a number, not a {}", path.type_name());
  Value found = value;
  const std::string& text = *path.text();
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    int64_t index = 0;
    const auto read = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool is_index =
        !part.empty() && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    DS_CHECK(!is_index || read.ec == std::errc{}, "the index {} is too large", quote(part));
    found = renderer.item(found, is_index ? Value(index) : Value(part));
    begin = end + 1;
  }
  return found;
}

// What items are compared by.
Value key_of(TemplateRenderer& renderer, const Value& item, const Value* attribute, bool case_sensitive) {
  Value key = attribute == nullptr || attribute->is_none() ? item : dotted(renderer, item, *attribute);
  if (attribute != nullptr && attribute->text() != nullptr)
    DS_CHECK(attribute->text()->find(',') == std::string::npos, "several attributes are not supported");
  if (case_sensitive || key.text() == nullptr) return key;
  return renderer.text(python_lower(*key.text()));
}

Items sorted(TemplateRenderer& renderer, const Items& items, const Items& keys, bool reverse) {
  std::vector<size_t> order(items.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  renderer.spend(items.size() * 512);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return reverse ? less(keys[b], keys[a]) : less(keys[a], keys[b]);
  });
  Items out;
  for (const size_t i : order) out.push_back(items[i]);
  return out;
}

Value sort(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("sort", 3, {"reverse", "case_sensitive", "attribute"});
  const Items items = r.iterate(value);
  Items keys;
  for (const Value& item : items)
    keys.push_back(key_of(r, item, a.get(2, "attribute"), template_flag(a, 1, "case_sensitive", false)));
  return r.list(sorted(r, items, keys, template_flag(a, 0, "reverse", false)));
}

Value dictsort(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("dictsort", 3, {"case_sensitive", "by", "reverse"});
  DS_CHECK(value.pairs() != nullptr, "dictsort needs a dict, not a {}", value.type_name());
  const Value* by = a.get(1, "by");
  const bool by_value = by != nullptr && by->text() != nullptr && *by->text() == "value";
  Items items, keys;
  for (const auto& [key, item] : *value.pairs()) {
    items.push_back(Value::tuple({key, item}));
    keys.push_back(key_of(r, by_value ? item : key, nullptr, template_flag(a, 0, "case_sensitive", false)));
  }
  return r.list(sorted(r, items, keys, template_flag(a, 2, "reverse", false)));
}

Value unique(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("unique", 2, {"case_sensitive", "attribute"});
  Items out, seen;
  for (const Value& item : r.iterate(value)) {
    const Value key = key_of(r, item, a.get(1, "attribute"), template_flag(a, 0, "case_sensitive", false));
    r.spend(seen.size() * 32);
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& known) { return equal(known, key); }))
      continue;
    seen.push_back(key);
    out.push_back(item);
  }
  return r.list(std::move(out), List::kGenerator);
}

Value extreme(TemplateRenderer& r, const Value& value, const Arguments& a, bool largest) {
  a.check("min", 2, {"case_sensitive", "attribute"});
  const Items items = r.iterate(value);
  Value best, best_key;
  for (size_t i = 0; i < items.size(); ++i) {
    const Value key =
        key_of(r, items[i], a.get(1, "attribute"), template_flag(a, 0, "case_sensitive", false));
    if (i > 0 && !(largest ? less(best_key, key) : less(key, best_key))) continue;
    best = items[i];
    best_key = key;
  }
  return best;
}

Value sum(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("sum", 2, {"attribute", "start"});
  const Value* attribute = a.get(0, "attribute");
  Value total = a.get(1, "start") != nullptr ? *a.get(1, "start") : Value(int64_t{0});
  for (const Value& item : r.iterate(value)) {
    const Value part = attribute == nullptr || attribute->is_none() ? item : dotted(r, item, *attribute);
    DS_CHECK(part.text() == nullptr, "sum of texts is not supported");
    total = r.arithmetic("+", total, part);
  }
  return total;
}

Value first(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("first", 0, {});
  const auto* list = value.as<Value::List>();
  if (list != nullptr && value.is(List::kGenerator))
    return (*list)->read < (*list)->items.size() ? (*list)->items[(*list)->read++] : Value();
  const Items items = r.iterate(value);
  return items.empty() ? Value() : items.front();
}

Value last(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("last", 0, {});
  DS_CHECK(!value.is(List::kGenerator), "last needs a sequence, not a generator; put 'list' before it");
  const Items items = r.iterate(value);
  return items.empty() ? Value() : items.back();
}

Value length(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("length", 0, {});
  if (value.is_undefined()) return Value(int64_t{0});
  if (const std::string* text = value.text())
    return r.spend(text->size()), Value(static_cast<int64_t>(count_code_points(*text)));
  if (value.pairs() != nullptr) return Value(static_cast<int64_t>(value.pairs()->size()));
  DS_CHECK(value.items() != nullptr && !value.is(List::kGenerator), "a {} has no length", value.type_name());
  return Value(static_cast<int64_t>(value.items()->size()));
}

Value join(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("join", 2, {"d", "attribute"});
  const std::string between = a.get(0, "d") != nullptr ? to_text(*a.get(0, "d")) : "";
  const Value* attribute = a.get(1, "attribute");
  std::string out;
  bool begins = true;
  for (const Value& item : r.iterate(value)) {
    const Value part = attribute == nullptr || attribute->is_none() ? item : dotted(r, item, *attribute);
    DS_CHECK(!part.is_markup(), "joining what 'safe' or 'escape' returned is not supported");
    if (!begins) out += between;
    begins = false;
    const std::string piece = to_text(part);
    r.spend(piece.size() + between.size());
    out += piece;
  }
  return Value(std::move(out));
}

Value reverse(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("reverse", 0, {});
  DS_CHECK(!value.is(List::kGenerator), "reverse needs a sequence; put 'list' before it");
  Items items = r.iterate(value);
  std::reverse(items.begin(), items.end());
  if (value.text() == nullptr) return r.list(std::move(items), List::kGenerator);
  std::string out;
  for (const Value& item : items) out += *item.text();
  return r.text(std::move(out));
}

Value with_default(TemplateRenderer&, const Value& value, const Arguments& a) {
  a.check("default", 2, {"default_value", "boolean"});
  if (!value.is_undefined() && !(template_flag(a, 1, "boolean", false) && !value.truthy())) return value;
  return a.get(0, "default_value") != nullptr ? *a.get(0, "default_value") : Value(std::string());
}

Value items_of(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("items", 0, {});
  Items out;
  DS_CHECK(value.is_undefined() || value.pairs() != nullptr, "items needs a dict, not a {}",
           value.type_name());
  if (value.pairs() != nullptr)
    for (const auto& [key, item] : *value.pairs()) out.push_back(Value::tuple({key, item}));
  return r.list(std::move(out), List::kGenerator);
}

// The rest of the arguments, for the filter or test that the first one names.
Arguments behind(const Arguments& a, size_t places) {
  Arguments out = a;
  out.positional.erase(out.positional.begin(), out.positional.begin() + static_cast<ptrdiff_t>(std::min(
                                                                            places, out.positional.size())));
  return out;
}

std::string name_in(const Arguments& a, size_t place, std::string_view what) {
  DS_CHECK(a.positional.size() > place && a.positional[place].text() != nullptr, "{} needs a name", what);
  return *a.positional[place].text();
}

Value map(TemplateRenderer& r, const Value& value, const Arguments& a) {
  Items out;
  const Value* attribute = a.positional.empty() ? a.get(SIZE_MAX, "attribute") : nullptr;
  if (attribute != nullptr) a.check("map", 0, {"attribute", "default"});
  for (const Value& item : r.iterate(value)) {
    if (attribute == nullptr) {
      out.push_back(r.filter(name_in(a, 0, "map"), item, behind(a, 1)));
      continue;
    }
    Value found = dotted(r, item, *attribute);
    if (found.is_undefined() && a.get(SIZE_MAX, "default") != nullptr) found = *a.get(SIZE_MAX, "default");
    out.push_back(std::move(found));
  }
  return r.list(std::move(out), List::kGenerator);
}

Value select(TemplateRenderer& r, const Value& value, const Arguments& a, bool keeps, bool by_attribute) {
  Items out;
  const size_t places = by_attribute ? 1 : 0;
  DS_CHECK(!by_attribute || !a.positional.empty(), "selectattr needs an attribute");
  for (const Value& item : r.iterate(value)) {
    const Value looked_at = by_attribute ? dotted(r, item, a.positional[0]) : item;
    const bool holds = a.positional.size() == places
                           ? looked_at.truthy()
                           : r.test(name_in(a, places, "select"), looked_at, behind(a, places + 1));
    if (holds == keeps) out.push_back(item);
  }
  return r.list(std::move(out), List::kGenerator);
}

Value attribute(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("attr", 1, {"name"});
  DS_CHECK(a.get(0, "name") != nullptr && a.get(0, "name")->text() != nullptr, "attr needs a name");
  const std::string& name = *a.get(0, "name")->text();
  DS_CHECK(!value.is_undefined(), "what is undefined has no attribute '{}'", name);
  return value.as<Value::Namespace>() != nullptr ? r.attribute(value, name)
                                                 : find_template_method(value, name);
}

const std::map<std::string_view, TemplateFilter>& sequence_filters() {
#define DS_FILTER(...) \
  [](TemplateRenderer& r, const Value& v, const Arguments& a) -> Value { return __VA_ARGS__; }
  static const std::map<std::string_view, TemplateFilter> table = {
      {"attr", attribute},
      {"count", length},
      {"d", with_default},
      {"default", with_default},
      {"dictsort", dictsort},
      {"first", first},
      {"items", items_of},
      {"join", join},
      {"last", last},
      {"length", length},
      {"list", DS_FILTER((a.check("list", 0, {}), r.list(r.iterate(v))))},
      {"map", map},
      {"max", DS_FILTER(extreme(r, v, a, true))},
      {"min", DS_FILTER(extreme(r, v, a, false))},
      {"reject", DS_FILTER(select(r, v, a, false, false))},
      {"rejectattr", DS_FILTER(select(r, v, a, false, true))},
      {"reverse", reverse},
      {"select", DS_FILTER(select(r, v, a, true, false))},
      {"selectattr", DS_FILTER(select(r, v, a, true, true))},
      {"sort", sort},
      {"sum", sum},
      {"unique", unique},
  };
#undef DS_FILTER
  return table;
}

}  // namespace

Value TemplateRenderer::filter(const std::string& name, const Value& value, const Arguments& arguments) {
  step();
  const auto* table = sequence_filters().contains(name) ? &sequence_filters() : &scalar_template_filters();
  const auto found = table->find(name);
  DS_CHECK(found != table->end(), "the filter {} is not supported", quote(name));
  const bool keeps_markup = name == "safe" || name == "string" || name == "length" || name == "count" ||
                            name == "tojson" || name == "default" || name == "d";
  DS_CHECK(!value.is_markup() || keeps_markup, "the filter '{}' behind 'safe' or 'escape' is not supported",
           name);
  return found->second(*this, value, arguments);
}

}  // namespace deepspeed::text
