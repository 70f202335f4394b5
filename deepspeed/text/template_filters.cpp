// Jinja's filters, as far as templates use them; `tojson` is transformers'.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "deepspeed/base/error.h"
#include "deepspeed/text/template_renderer.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

using Value = TemplateValue;
using Items = TemplateValue::Items;
using Arguments = TemplateCallArguments;
using List = TemplateList::Kind;
using Filter = Value (*)(TemplateRenderer&, const Value&, const Arguments&);

bool flag(const Arguments& arguments, size_t place, std::string_view name, bool otherwise) {
  const Value* value = arguments.get(place, name);
  return value == nullptr ? otherwise : value->truthy();
}

int64_t whole(const Arguments& arguments, size_t place, std::string_view name, int64_t otherwise) {
  const Value* value = arguments.get(place, name);
  if (value == nullptr) return otherwise;
  DS_CHECK(value->is_integer(), "'{}' must be a whole number, not a {}", name, value->type_name());
  return value->integer();
}

std::string text_of(TemplateRenderer& renderer, const Value& value) {
  std::string out = to_text(value);
  renderer.spend(out.size());
  return out;
}

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
    keys.push_back(key_of(r, item, a.get(2, "attribute"), flag(a, 1, "case_sensitive", false)));
  return r.list(sorted(r, items, keys, flag(a, 0, "reverse", false)));
}

Value dictsort(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("dictsort", 3, {"case_sensitive", "by", "reverse"});
  DS_CHECK(value.pairs() != nullptr, "dictsort needs a dict, not a {}", value.type_name());
  const Value* by = a.get(1, "by");
  const bool by_value = by != nullptr && by->text() != nullptr && *by->text() == "value";
  Items items, keys;
  for (const auto& [key, item] : *value.pairs()) {
    items.push_back(Value::tuple({key, item}));
    keys.push_back(key_of(r, by_value ? item : key, nullptr, flag(a, 0, "case_sensitive", false)));
  }
  return r.list(sorted(r, items, keys, flag(a, 2, "reverse", false)));
}

Value unique(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("unique", 2, {"case_sensitive", "attribute"});
  Items out, seen;
  for (const Value& item : r.iterate(value)) {
    const Value key = key_of(r, item, a.get(1, "attribute"), flag(a, 0, "case_sensitive", false));
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
    const Value key = key_of(r, items[i], a.get(1, "attribute"), flag(a, 0, "case_sensitive", false));
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

Value indent(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("indent", 3, {"width", "first", "blank"});
  DS_CHECK(value.text() != nullptr, "indent needs a text, not a {}", value.type_name());
  const Value* width = a.get(0, "width");
  const int64_t spaces = width != nullptr && width->text() != nullptr ? 0 : whole(a, 0, "width", 4);
  DS_CHECK(spaces <= 10000, "an indent of {} is too wide", spaces);
  const std::string indention = width != nullptr && width->text() != nullptr
                                    ? *width->text()
                                    : std::string(static_cast<size_t>(std::max<int64_t>(0, spaces)), ' ');
  const bool blank = flag(a, 2, "blank", false);
  const std::vector<std::string> lines = python_split_lines(*value.text() + "\n");
  std::string out = flag(a, 1, "first", false) ? indention : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    r.spend(lines[i].size() + indention.size());
    if (i > 0) out += '\n';
    if (i > 0 && (blank || !lines[i].empty())) out += indention;
    out += lines[i];
  }
  return Value(std::move(out));
}

Value title(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("title", 0, {});
  const std::string text = text_of(r, value);
  std::string out, word;
  const auto flush = [&] {
    if (!word.empty()) out += python_capitalize(word);
    word.clear();
  };
  for (const char c : text) {
    if (std::string_view("- \t\n\v\f\r({[<").find(c) == std::string_view::npos) {
      word += c;
      continue;
    }
    flush();
    out += c;
  }
  flush();
  return Value(std::move(out));
}

Value replace(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("replace", 3, {"old", "new", "count"});
  DS_CHECK(a.get(0, "old") != nullptr && a.get(1, "new") != nullptr, "replace needs an old and a new text");
  const std::string from = to_text(*a.get(0, "old")), to = to_text(*a.get(1, "new"));
  const std::string text = text_of(r, value);
  r.spend(text.size() * (from.empty() ? to.size() + 1 : 1 + to.size() / from.size()));
  const Value* count = a.get(2, "count");
  return r.text(
      python_replace(text, from, to, count == nullptr || count->is_none() ? -1 : whole(a, 2, "count", -1)));
}

Value trim(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("trim", 1, {"chars"});
  const Value* characters = a.get(0, "chars");
  const bool chosen = characters != nullptr && !characters->is_none();
  DS_CHECK(!chosen || characters->text() != nullptr, "trim takes a text");
  return r.text(python_strip(text_of(r, value), chosen ? characters->text() : nullptr, true, true));
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

Value round_number(TemplateRenderer&, const Value& value, const Arguments& a) {
  a.check("round", 2, {"precision", "method"});
  DS_CHECK(value.is_number(), "round needs a number, not a {}", value.type_name());
  const int64_t precision = whole(a, 0, "precision", 0);
  const Value* method = a.get(1, "method");
  const std::string how = method == nullptr ? "common" : to_text(*method);
  DS_CHECK(precision >= 0 && precision <= 15, "rounding to {} digits is not supported", precision);
  if (how == "common") {
    if (value.is_integer()) return Value(value.integer());
    return Value(std::stod(fmt::format("{:.{}f}", value.number(), precision)));
  }
  DS_CHECK(how == "ceil" || how == "floor", "the method of rounding must be common, ceil or floor, not {}",
           quote(how));
  const double scale = std::pow(10.0, static_cast<double>(precision));
  return Value((how == "ceil" ? std::ceil(value.number() * scale) : std::floor(value.number() * scale)) /
               scale);
}

std::optional<double> parse_number(const std::string& given) {
  const std::string text = python_strip(given, nullptr, true, true);
  DS_CHECK(text.find('_') == std::string::npos, "numbers with underscores are not supported");
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const char* end = text.data() + text.size();
  double number = 0;
  const auto read = std::from_chars(begin, end, number);
  if (read.ec == std::errc::result_out_of_range) base::fail("the number {} is too large", quote(text));
  return begin != end && read.ec == std::errc{} && read.ptr == end ? std::optional(number) : std::nullopt;
}

Value to_whole(TemplateRenderer&, const Value& value, const Arguments& a) {
  a.check("int", 2, {"default", "base"});
  DS_CHECK(whole(a, 1, "base", 10) == 10, "numbers to another base than 10 are not supported");
  const Value otherwise = a.get(0, "default") != nullptr ? *a.get(0, "default") : Value(int64_t{0});
  if (value.is_integer()) return Value(value.integer());
  double number = 0;
  if (value.as<double>() != nullptr) {
    number = *value.as<double>();
  } else if (value.text() != nullptr) {
    const std::string text = python_strip(*value.text(), nullptr, true, true);
    const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
    int64_t parsed = 0;
    const auto read = std::from_chars(begin, text.data() + text.size(), parsed);
    if (read.ec == std::errc{} && read.ptr == text.data() + text.size() && begin != read.ptr)
      return Value(parsed);
    const auto fraction = parse_number(text);
    if (!fraction) return otherwise;
    number = *fraction;
  } else {
    return otherwise;
  }
  if (std::isnan(number) || std::isinf(number)) return otherwise;
  DS_CHECK(std::abs(number) < 9.2e18, "a whole number needs more than 64 bits");
  return Value(static_cast<int64_t>(number));
}

Value to_fraction(TemplateRenderer&, const Value& value, const Arguments& a) {
  a.check("float", 1, {"default"});
  if (value.is_number()) return Value(value.number());
  const auto parsed = value.text() != nullptr ? parse_number(*value.text()) : std::nullopt;
  if (parsed) return Value(*parsed);
  return a.get(0, "default") != nullptr ? *a.get(0, "default") : Value(0.0);
}

Value absolute(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("abs", 0, {});
  DS_CHECK(value.is_number(), "abs needs a number, not a {}", value.type_name());
  if (!value.is_integer()) return Value(std::abs(value.number()));
  return value.integer() < 0 ? r.arithmetic("-", Value(int64_t{0}), value) : Value(value.integer());
}

Value with_default(TemplateRenderer&, const Value& value, const Arguments& a) {
  a.check("default", 2, {"default_value", "boolean"});
  if (!value.is_undefined() && !(flag(a, 1, "boolean", false) && !value.truthy())) return value;
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

Value escape(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("escape", 0, {});
  std::string out;
  for (const char c : text_of(r, value)) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '\'')
      out += "&#39;";
    else if (c == '"')
      out += "&#34;";
    else
      out += c;
  }
  r.spend(out.size());
  return Value(std::move(out), /*markup=*/true);
}

Value tojson(TemplateRenderer& r, const Value& value, const Arguments& a) {
  a.check("tojson", 4, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = flag(a, 0, "ensure_ascii", false);
  style.sort_keys = flag(a, 3, "sort_keys", false);
  if (const Value* given = a.get(1, "indent"); given != nullptr && !given->is_none()) {
    style.indents = true;
    style.item_separator = ",";
    const int64_t width = given->text() != nullptr ? 0 : whole(a, 1, "indent", 0);
    DS_CHECK(width <= 1000, "an indent of {} is too wide", width);
    style.indent = given->text() != nullptr
                       ? *given->text()
                       : std::string(static_cast<size_t>(std::max<int64_t>(0, width)), ' ');
  }
  if (const Value* given = a.get(2, "separators"); given != nullptr && !given->is_none()) {
    const auto* parts = given->items();
    DS_CHECK(parts != nullptr && parts->size() == 2 && (*parts)[0].text() != nullptr &&
                 (*parts)[1].text() != nullptr,
             "tojson: separators are two texts");
    style.item_separator = *(*parts)[0].text();
    style.key_separator = *(*parts)[1].text();
  }
  DS_CHECK(style.indent.size() <= 1000 && style.item_separator.size() <= 1000 &&
               style.key_separator.size() <= 1000,
           "tojson: a separator is too long");
  return r.text(to_json(value, style));
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

const std::map<std::string_view, Filter>& filters() {
#define DS_FILTER(...) \
  [](TemplateRenderer& r, const Value& v, const Arguments& a) -> Value { return __VA_ARGS__; }
  static const std::map<std::string_view, Filter> table = {
      {"abs", absolute},
      {"attr", attribute},
      {"capitalize", DS_FILTER((a.check("capitalize", 0, {}), r.text(python_capitalize(text_of(r, v)))))},
      {"count", length},
      {"d", with_default},
      {"default", with_default},
      {"dictsort", dictsort},
      {"e", escape},
      {"escape", escape},
      {"first", first},
      {"float", to_fraction},
      {"forceescape", escape},
      {"indent", indent},
      {"int", to_whole},
      {"items", items_of},
      {"join", join},
      {"last", last},
      {"length", length},
      {"list", DS_FILTER((a.check("list", 0, {}), r.list(r.iterate(v))))},
      {"lower", DS_FILTER((a.check("lower", 0, {}), r.text(python_lower(text_of(r, v)))))},
      {"map", map},
      {"max", DS_FILTER(extreme(r, v, a, true))},
      {"min", DS_FILTER(extreme(r, v, a, false))},
      {"reject", DS_FILTER(select(r, v, a, false, false))},
      {"rejectattr", DS_FILTER(select(r, v, a, false, true))},
      {"replace", replace},
      {"reverse", reverse},
      {"round", round_number},
      {"safe", DS_FILTER((a.check("safe", 0, {}), Value(text_of(r, v), /*markup=*/true)))},
      {"select", DS_FILTER(select(r, v, a, true, false))},
      {"selectattr", DS_FILTER(select(r, v, a, true, true))},
      {"sort", sort},
      {"string", DS_FILTER((a.check("string", 0, {}), v.text() != nullptr ? v : r.text(to_text(v))))},
      {"sum", sum},
      {"title", title},
      {"tojson", tojson},
      {"trim", trim},
      {"unique", unique},
      {"upper", DS_FILTER((a.check("upper", 0, {}), r.text(python_upper(text_of(r, v)))))},
  };
#undef DS_FILTER
  return table;
}

}  // namespace

Value TemplateRenderer::filter(const std::string& name, const Value& value, const Arguments& arguments) {
  step();
  const auto found = filters().find(name);
  DS_CHECK(found != filters().end(), "the filter {} is not supported", quote(name));
  const bool keeps_markup = name == "safe" || name == "string" || name == "length" || name == "count" ||
                            name == "tojson" || name == "default" || name == "d";
  DS_CHECK(!value.is_markup() || keeps_markup, "the filter '{}' behind 'safe' or 'escape' is not supported",
           name);
  return found->second(*this, value, arguments);
}

}  // namespace deepspeed::text
