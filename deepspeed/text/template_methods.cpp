// Python's methods of texts, lists and dicts, as far as templates use them.
#include <unicode/uchar.h>

#include <algorithm>
#include <map>

#include "deepspeed/base/error.h"
#include "deepspeed/text/python_text.h"
#include "deepspeed/text/template_renderer.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

using Value = TemplateValue;
using Arguments = TemplateCallArguments;
using Method = Value (*)(TemplateRenderer&, const Value&, const Arguments&);

const std::string& self_of(const Value& self) { return *self.text(); }

const std::string& text_argument(const Arguments& arguments, size_t place, std::string_view name,
                                 std::string_view method) {
  const Value* value = arguments.get(place, name);
  DS_CHECK(value != nullptr && value->text() != nullptr, "{}() needs a text", method);
  return *value->text();
}

int64_t whole_argument(const Arguments& arguments, size_t place, std::string_view name, int64_t otherwise) {
  const Value* value = arguments.get(place, name);
  if (value == nullptr) return otherwise;
  DS_CHECK(value->is_integer(), "'{}' must be a whole number, not a {}", name, value->type_name());
  return value->integer();
}

Value strip(TemplateRenderer& renderer, const Value& self, const Arguments& arguments, bool left,
            bool right) {
  arguments.check("strip", 1, {});
  const Value* given = arguments.get(0, "");
  const bool chosen = given != nullptr && !given->is_none();
  DS_CHECK(!chosen || given->text() != nullptr, "strip() takes a text");
  return renderer.text(python_strip(self_of(self), chosen ? given->text() : nullptr, left, right));
}

Value list_of(TemplateRenderer& renderer, const std::vector<std::string>& texts,
              TemplateList::Kind kind = TemplateList::Kind::kList) {
  Value::Items items;
  size_t bytes = 0;
  for (const std::string& text : texts) {
    bytes += text.size() + 32;
    items.emplace_back(text);
  }
  renderer.spend(bytes);
  return renderer.list(std::move(items), kind);
}

Value split(TemplateRenderer& renderer, const Value& self, const Arguments& arguments) {
  arguments.check("split", 2, {"sep", "maxsplit"});
  const Value* separator = arguments.get(0, "sep");
  const int64_t most = whole_argument(arguments, 1, "maxsplit", -1);
  renderer.spend(self_of(self).size());
  if (separator == nullptr || separator->is_none())
    return list_of(renderer, python_split_spaces(self_of(self), most));
  return list_of(renderer, python_split(self_of(self), text_argument(arguments, 0, "sep", "split"), most));
}

Value split_from_right(TemplateRenderer& renderer, const Value& self, const Arguments& arguments) {
  arguments.check("rsplit", 2, {"sep", "maxsplit"});
  const Value* separator = arguments.get(0, "sep");
  const int64_t most = whole_argument(arguments, 1, "maxsplit", -1);
  renderer.spend(self_of(self).size());
  if (separator == nullptr || separator->is_none()) {
    DS_CHECK(most < 0, "rsplit() at spaces with a limit is not supported");
    return list_of(renderer, python_split_spaces(self_of(self), -1));
  }
  return list_of(renderer,
                 python_split_from_right(self_of(self), text_argument(arguments, 0, "sep", "rsplit"), most));
}

Value starts_or_ends(TemplateRenderer& renderer, const Value& self, const Arguments& arguments, bool starts) {
  arguments.check(starts ? "startswith" : "endswith", 1, {});
  const Value* given = arguments.get(0, "");
  DS_CHECK(given != nullptr && (given->text() != nullptr || given->is_tuple()),
           "{}() needs a text or a tuple of texts", starts ? "startswith" : "endswith");
  const auto matches = [&](const Value& value) {
    DS_CHECK(value.text() != nullptr, "{}() needs texts, not a {}", starts ? "startswith" : "endswith",
             value.type_name());
    renderer.spend(value.text()->size());
    return starts ? self_of(self).starts_with(*value.text()) : self_of(self).ends_with(*value.text());
  };
  if (given->text() != nullptr) return Value(matches(*given));
  return Value(std::any_of(given->items()->begin(), given->items()->end(), matches));
}

Value find(TemplateRenderer& renderer, const Value& self, const Arguments& arguments, bool last, bool must) {
  arguments.check("find", 1, {});
  const std::string& text = self_of(self);
  renderer.spend(text.size());
  const std::string& what = text_argument(arguments, 0, "", "find");
  const size_t at = last ? text.rfind(what) : text.find(what);
  DS_CHECK(!must || at != std::string::npos, "index(): the text is not there");
  return Value(at == std::string::npos
                   ? int64_t{-1}
                   : static_cast<int64_t>(count_code_points(std::string_view(text).substr(0, at))));
}

Value count(TemplateRenderer& renderer, const Value& self, const Arguments& arguments) {
  arguments.check("count", 1, {});
  if (self.items() != nullptr) {
    DS_CHECK(arguments.get(0, "") != nullptr, "count() needs a value");
    renderer.spend(self.items()->size() * 16);
    return Value(static_cast<int64_t>(
        std::count_if(self.items()->begin(), self.items()->end(),
                      [&](const Value& item) { return equal(item, *arguments.get(0, "")); })));
  }
  const std::string& what = text_argument(arguments, 0, "", "count");
  renderer.spend(self_of(self).size());
  if (what.empty()) return Value(static_cast<int64_t>(count_code_points(self_of(self)) + 1));
  int64_t found = 0;
  for (size_t at = self_of(self).find(what); at != std::string::npos;
       at = self_of(self).find(what, at + what.size()))
    ++found;
  return Value(found);
}

Value index_in_list(TemplateRenderer& renderer, const Value& self, const Arguments& arguments) {
  if (self.text() != nullptr) return find(renderer, self, arguments, false, true);
  arguments.check("index", 1, {});
  DS_CHECK(arguments.get(0, "") != nullptr, "index() needs a value");
  renderer.spend(self.items()->size() * 16);
  for (size_t i = 0; i < self.items()->size(); ++i)
    if (equal((*self.items())[i], *arguments.get(0, ""))) return Value(static_cast<int64_t>(i));
  base::fail("index(): the value is not there");
}

Value join(TemplateRenderer& renderer, const Value& self, const Arguments& arguments) {
  arguments.check("join", 1, {});
  DS_CHECK(arguments.get(0, "") != nullptr, "join() needs a list");
  std::string out;
  bool first = true;
  for (const Value& item : renderer.iterate(*arguments.get(0, ""))) {
    DS_CHECK(item.text() != nullptr && !item.is_markup(), "join() needs texts, not a {}", item.type_name());
    if (!first) out += self_of(self);
    out += *item.text();
    renderer.spend(item.text()->size() + self_of(self).size());
    first = false;
  }
  return Value(std::move(out));
}

Value replace(TemplateRenderer& renderer, const Value& self, const Arguments& arguments) {
  arguments.check("replace", 3, {});
  const std::string& from = text_argument(arguments, 0, "", "replace");
  const std::string& to = text_argument(arguments, 1, "", "replace");
  renderer.spend(self_of(self).size() * (from.empty() ? to.size() + 1 : 1 + to.size() / from.size()));
  return renderer.text(python_replace(self_of(self), from, to, whole_argument(arguments, 2, "count", -1)));
}

Value without_affix(TemplateRenderer& renderer, const Value& self, const Arguments& arguments, bool prefix) {
  arguments.check(prefix ? "removeprefix" : "removesuffix", 1, {});
  const std::string& affix = text_argument(arguments, 0, "", "removeprefix");
  const std::string& text = self_of(self);
  if (prefix) return renderer.text(text.starts_with(affix) ? text.substr(affix.size()) : text);
  return renderer.text(text.ends_with(affix) ? text.substr(0, text.size() - affix.size()) : text);
}

Value partition(TemplateRenderer& renderer, const Value& self, const Arguments& arguments, bool last) {
  arguments.check("partition", 1, {});
  const std::string& text = self_of(self);
  const std::string& separator = text_argument(arguments, 0, "", "partition");
  DS_CHECK(!separator.empty(), "partition() needs a separator that is not empty");
  const size_t at = last ? text.rfind(separator) : text.find(separator);
  std::vector<std::string> parts = {text, "", ""};
  if (at != std::string::npos)
    parts = {text.substr(0, at), separator, text.substr(at + separator.size())};
  else if (last)
    parts = {"", "", text};
  return list_of(renderer, parts, TemplateList::Kind::kTuple);
}

// What all characters of a text that is not empty must be.
template <typename Is>
Value all_are(TemplateRenderer& renderer, const Value& self, const Arguments& arguments, const Is& is) {
  arguments.check("is...", 0, {});
  const std::string& text = self_of(self);
  renderer.spend(text.size());
  bool all = !text.empty();
  for (size_t at = 0; all && at < text.size();) all = is(next_code_point(text, at));
  return Value(all);
}

Value has_case(TemplateRenderer& renderer, const Value& self, const Arguments& arguments, bool upper) {
  arguments.check("isupper", 0, {});
  DS_CHECK(python_is_ascii(self_of(self)), "isupper() and islower() of texts beyond ASCII are not supported");
  renderer.spend(self_of(self).size());
  bool any = false, all = true;
  for (const char c : self_of(self)) {
    const bool is_upper = c >= 'A' && c <= 'Z', is_lower = c >= 'a' && c <= 'z';
    any = any || (upper ? is_upper : is_lower);
    all = all && !(upper ? is_lower : is_upper);
  }
  return Value(any && all);
}

Value padded(TemplateRenderer& renderer, const Value& self, const Arguments& arguments, bool left,
             bool right) {
  arguments.check("ljust", 2, {});
  const int64_t width = whole_argument(arguments, 0, "", 0);
  const std::string fill = arguments.get(1, "") != nullptr ? text_argument(arguments, 1, "", "ljust") : " ";
  DS_CHECK(count_code_points(fill) == 1, "the fill character must be one character");
  const int64_t missing = width - static_cast<int64_t>(count_code_points(self_of(self)));
  if (missing <= 0) return self;
  renderer.spend(static_cast<size_t>(missing) * fill.size());
  const int64_t before = left && right ? missing / 2 + (missing & width & 1) : left ? missing : 0;
  std::string out;
  for (int64_t i = 0; i < before; ++i) out += fill;
  out += self_of(self);
  for (int64_t i = before; i < missing; ++i) out += fill;
  return renderer.text(std::move(out));
}

bool has_type(uint32_t c, uint32_t mask) { return (U_GET_GC_MASK(static_cast<UChar32>(c)) & mask) != 0; }
bool is_numeric(uint32_t c) {
  const int32_t type = u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_NUMERIC_TYPE);
  return type != U_NT_NONE;
}
bool is_digit(uint32_t c) {
  const int32_t type = u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_NUMERIC_TYPE);
  return type == U_NT_DECIMAL || type == U_NT_DIGIT;
}

const std::map<std::string_view, Method>& text_methods() {
#define DS_METHOD(...) \
  [](TemplateRenderer& r, const Value& s, const Arguments& a) -> Value { return __VA_ARGS__; }
#define DS_PLAIN(expression)                                             \
  [](TemplateRenderer& r, const Value& s, const Arguments& a) -> Value { \
    a.check("a method of texts", 0, {});                                 \
    return r.text(expression);                                           \
  }
  static const std::map<std::string_view, Method> table = {
      {"strip", DS_METHOD(strip(r, s, a, true, true))},
      {"lstrip", DS_METHOD(strip(r, s, a, true, false))},
      {"rstrip", DS_METHOD(strip(r, s, a, false, true))},
      {"split", split},
      {"rsplit", split_from_right},
      {"splitlines", DS_METHOD((a.check("splitlines", 0, {}), list_of(r, python_split_lines(self_of(s)))))},
      {"startswith", DS_METHOD(starts_or_ends(r, s, a, true))},
      {"endswith", DS_METHOD(starts_or_ends(r, s, a, false))},
      {"find", DS_METHOD(find(r, s, a, false, false))},
      {"rfind", DS_METHOD(find(r, s, a, true, false))},
      {"index", DS_METHOD(find(r, s, a, false, true))},
      {"rindex", DS_METHOD(find(r, s, a, true, true))},
      {"count", count},
      {"join", join},
      {"replace", replace},
      {"removeprefix", DS_METHOD(without_affix(r, s, a, true))},
      {"removesuffix", DS_METHOD(without_affix(r, s, a, false))},
      {"partition", DS_METHOD(partition(r, s, a, false))},
      {"rpartition", DS_METHOD(partition(r, s, a, true))},
      {"upper", DS_PLAIN(python_upper(self_of(s)))},
      {"lower", DS_PLAIN(python_lower(self_of(s)))},
      {"capitalize", DS_PLAIN(python_capitalize(self_of(s)))},
      {"ljust", DS_METHOD(padded(r, s, a, false, true))},
      {"rjust", DS_METHOD(padded(r, s, a, true, false))},
      {"center", DS_METHOD(padded(r, s, a, true, true))},
      {"isdigit", DS_METHOD(all_are(r, s, a, is_digit))},
      {"isnumeric", DS_METHOD(all_are(r, s, a, is_numeric))},
      {"isdecimal", DS_METHOD(all_are(r, s, a, [](uint32_t c) { return has_type(c, U_GC_ND_MASK); }))},
      {"isalpha", DS_METHOD(all_are(r, s, a, [](uint32_t c) { return has_type(c, U_GC_L_MASK); }))},
      {"isalnum",
       DS_METHOD(all_are(r, s, a, [](uint32_t c) { return has_type(c, U_GC_L_MASK) || is_numeric(c); }))},
      {"isspace", DS_METHOD(all_are(r, s, a, python_is_space))},
      {"isupper", DS_METHOD(has_case(r, s, a, true))},
      {"islower", DS_METHOD(has_case(r, s, a, false))},
  };
  return table;
}

Value dict_get(TemplateRenderer& renderer, const Value& self, const Arguments& arguments) {
  arguments.check("get", 2, {});
  const Value* key = arguments.get(0, "");
  DS_CHECK(key != nullptr, "get() needs a key");
  renderer.spend(self.pairs()->size() * 16);
  if (const Value* found = self.find(*key)) return *found;
  return arguments.get(1, "") != nullptr ? *arguments.get(1, "") : Value(Value::None{});
}

Value dict_view(TemplateRenderer& renderer, const Value& self, const Arguments& arguments,
                TemplateList::Kind kind) {
  arguments.check("a view of a dict", 0, {});
  Value::Items items;
  for (const auto& [key, value] : *self.pairs()) {
    if (kind == TemplateList::Kind::kDictItems)
      items.push_back(Value::tuple({key, value}));
    else
      items.push_back(kind == TemplateList::Kind::kDictKeys ? key : value);
  }
  renderer.spend(items.size() * 96);
  return renderer.list(std::move(items), kind);
}

const std::map<std::string_view, Method>& dict_methods() {
  static const std::map<std::string_view, Method> table = {
      {"get", dict_get},
      {"keys", DS_METHOD(dict_view(r, s, a, TemplateList::Kind::kDictKeys))},
      {"values", DS_METHOD(dict_view(r, s, a, TemplateList::Kind::kDictValues))},
      {"items", DS_METHOD(dict_view(r, s, a, TemplateList::Kind::kDictItems))},
      {"copy", DS_METHOD((a.check("copy", 0, {}), r.spend(s.pairs()->size() * 64), s))},
  };
  return table;
}

const std::map<std::string_view, Method>& list_methods() {
  static const std::map<std::string_view, Method> table = {
      {"count", count},
      {"index", index_in_list},
      {"copy", DS_METHOD((a.check("copy", 0, {}), s))},
  };
  return table;
}
#undef DS_METHOD
#undef DS_PLAIN

// Python's other attributes of these types: they are not missing there, so they must not be undefined here.
bool is_known_elsewhere(const Value& object, std::string_view name) {
  static constexpr std::string_view kText =
      " casefold encode expandtabs format format_map isascii isidentifier isprintable istitle maketrans "
      "swapcase title "
      "translate zfill ";
  static constexpr std::string_view kList = " append clear extend insert pop remove reverse sort ";
  static constexpr std::string_view kDict = " clear fromkeys pop popitem setdefault update ";
  static constexpr std::string_view kNumber =
      " as_integer_ratio bit_count bit_length conjugate denominator from_bytes imag numerator real to_bytes "
      "fromhex hex "
      "is_integer ";
  static constexpr std::string_view kOther =
      " start stop step send throw close gi_code gi_frame gi_running gi_yieldfrom "
      "isdisjoint mapping index count name arguments catch_kwargs catch_varargs caller ";
  const std::string padded = " " + std::string(name) + " ";
  const std::string_view list = object.text() != nullptr                          ? kText
                                : object.is(TemplateList::Kind::kList)            ? kList
                                : object.pairs() != nullptr                       ? kDict
                                : object.is_number()                              ? kNumber
                                : object.items() != nullptr && !object.is_tuple() ? kOther
                                : object.as<Value::Callable>() != nullptr         ? kOther
                                                                                  : std::string_view();
  return list.find(padded) != std::string_view::npos;
}

Value loop_attribute(const std::shared_ptr<TemplateLoop>& loop, const std::string& name) {
  const auto size = static_cast<int64_t>(loop->items.size()), index = static_cast<int64_t>(loop->index);
  if (name == "index") return Value(index + 1);
  if (name == "index0") return Value(index);
  if (name == "revindex") return Value(size - index);
  if (name == "revindex0") return Value(size - index - 1);
  if (name == "first") return Value(index == 0);
  if (name == "last") return Value(index + 1 == size);
  if (name == "length") return Value(size);
  if (name == "depth") return Value(int64_t{1});  // only recursive loops are deeper
  if (name == "depth0") return Value(int64_t{0});
  if (name == "previtem") return index > 0 ? loop->items[static_cast<size_t>(index - 1)] : Value();
  if (name == "nextitem") return index + 1 < size ? loop->items[static_cast<size_t>(index + 1)] : Value();
  DS_CHECK(name == "cycle" || name == "changed", "loop has no '{}'", name);
  return Value(std::make_shared<const TemplateCallable>(
      TemplateCallable{TemplateCallable::Kind::kMethod, name, Value(), nullptr, nullptr, loop}));
}

Value call_loop_method(TemplateLoop& loop, const std::string& name, const Arguments& arguments) {
  arguments.check(name, SIZE_MAX, {});
  if (name == "cycle") {
    DS_CHECK(!arguments.positional.empty(), "cycle() needs values");
    return arguments.positional[loop.index % arguments.positional.size()];
  }
  Value now = Value::tuple(arguments.positional);
  const bool changed = !loop.last_changed || !equal(*loop.last_changed, now);
  loop.last_changed = std::move(now);
  return Value(changed);
}

const std::map<std::string_view, Method>* methods_of(const Value& object) {
  if (object.text() != nullptr) return &text_methods();
  if (object.pairs() != nullptr) return &dict_methods();
  return object.is(TemplateList::Kind::kList) || object.is_tuple() ? &list_methods() : nullptr;
}

}  // namespace

Value find_template_method(const Value& object, const std::string& name) {
  if (const auto* callable = object.as<Value::Callable>();
      callable != nullptr && (*callable)->kind == TemplateCallable::Kind::kLoop)
    return loop_attribute((*callable)->loop, name);
  const auto* methods = methods_of(object);
  const bool found = methods != nullptr && methods->contains(name) && !(object.is_tuple() && name == "copy");
  DS_CHECK(found || !is_known_elsewhere(object, name), "'{}' of a {} is not supported", name,
           object.type_name());
  if (!found) return {};
  DS_CHECK(!object.is_markup(), "methods of what 'safe' or 'escape' returned are not supported");
  return Value(std::make_shared<const TemplateCallable>(
      TemplateCallable{TemplateCallable::Kind::kMethod, name, object, nullptr, nullptr, nullptr}));
}

Value call_template_method(TemplateRenderer& renderer, const TemplateCallable& method,
                           const Arguments& arguments) {
  if (method.loop) return call_loop_method(*method.loop, method.name, arguments);
  return methods_of(method.self)->at(method.name)(renderer, method.self, arguments);
}

}  // namespace deepspeed::text
