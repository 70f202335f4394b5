// The functions that templates of transformers may call.
#include <ctime>
#include <map>

#include "deepspeed/base/error.h"
#include "deepspeed/text/template_renderer.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {

using Value = TemplateValue;
using Arguments = TemplateCallArguments;

const Value* TemplateCallArguments::get(size_t place, std::string_view name) const {
  if (place < positional.size()) return &positional[place];
  for (const auto& [known, value] : named)
    if (known == name) return &value;
  return nullptr;
}

void TemplateCallArguments::check(std::string_view function, size_t count,
                                  std::initializer_list<std::string_view> names) const {
  DS_CHECK(positional.size() <= count, "{} takes {} arguments, not {}", function, count, positional.size());
  for (const auto& [name, value] : named) {
    size_t place = 0;
    for (const std::string_view known : names) {
      if (known == name) break;
      ++place;
    }
    DS_CHECK(place < names.size(), "{} has no argument {}", function, quote(name));
    DS_CHECK(place >= positional.size(), "{}: '{}' is given twice", function, name);
  }
}

namespace {

constexpr int64_t kLongestRange = 100'000;  // of Jinja's sandbox

Value range(TemplateRenderer& renderer, const Arguments& arguments) {
  arguments.check("range", 3, {});
  int64_t given[3] = {0, 0, 1};
  const size_t count = arguments.positional.size();
  DS_CHECK(count > 0, "range needs a whole number");
  for (size_t i = 0; i < count; ++i) {
    DS_CHECK(arguments.positional[i].is_integer(), "range needs whole numbers, not a {}",
             arguments.positional[i].type_name());
    given[count == 1 ? 1 : i] = arguments.positional[i].integer();
  }
  const auto [begin, end, step] = given;
  DS_CHECK(step != 0, "range: the step is zero");
  Value::Items items;
  for (int64_t at = begin; step > 0 ? at < end : at > end;) {
    DS_CHECK(static_cast<int64_t>(items.size()) < kLongestRange, "range of more than {} numbers",
             kLongestRange);
    items.emplace_back(at);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  return renderer.list(std::move(items), TemplateList::Kind::kRange);
}

// dict(a=1), dict({...}), dict([[key, value], ...])
Value::Pairs pairs_of(TemplateRenderer& renderer, std::string_view function, const Arguments& arguments) {
  DS_CHECK(arguments.positional.size() <= 1, "{} takes one argument without a name", function);
  Value::Pairs pairs;
  if (!arguments.positional.empty()) {
    const Value& given = arguments.positional[0];
    if (given.pairs() != nullptr) {
      pairs = *given.pairs();
    } else {
      for (const Value& item : renderer.iterate(given)) {
        const Value::Items parts = renderer.iterate(item);
        DS_CHECK(parts.size() == 2 && parts[0].text() != nullptr, "{} needs pairs of a text and a value",
                 function);
        pairs.emplace_back(parts[0], parts[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) pairs.emplace_back(Value(name), value);
  renderer.spend(pairs.size() * 2 * sizeof(Value));
  return pairs;
}

Value dict(TemplateRenderer& renderer, const Arguments& arguments) {
  return Value::dict(pairs_of(renderer, "dict", arguments));
}

Value make_namespace(TemplateRenderer& renderer, const Arguments& arguments) {
  auto out = std::make_shared<TemplateNamespace>();
  const Value made = Value::dict(pairs_of(renderer, "namespace", arguments));
  for (const auto& [key, value] : *made.pairs()) {
    DS_CHECK(key.text() != nullptr && !key.text()->starts_with('_'), "a namespace cannot hold {}",
             quote(to_text(key)));
    DS_CHECK(value.as<Value::Namespace>() == nullptr && value.as<Value::Callable>() == nullptr,
             "a {} within a namespace is not supported", value.type_name());
    out->items.emplace_back(*key.text(), value);
  }
  return Value(std::move(out));
}

Value raise_exception(TemplateRenderer&, const Arguments& arguments) {
  arguments.check("raise_exception", 1, {"message"});
  const Value* message = arguments.get(0, "message");
  base::fail("the template refuses the conversation: {}",
             message == nullptr ? "" : one_line(to_text(*message)));
}

Value strftime_now(TemplateRenderer& renderer, const Arguments& arguments) {
  arguments.check("strftime_now", 1, {"format"});
  const Value* given = arguments.get(0, "format");
  DS_CHECK(given != nullptr && given->text() != nullptr, "strftime_now needs a format");
  const std::string& format = *given->text();
  for (size_t at = format.find('%'); at != std::string::npos; at = format.find('%', at + 2)) {
    const char kind = at + 1 < format.size() ? format[at + 1] : '\0';
    DS_CHECK(std::string_view("aAbBcdDeFGHIjklmMnpPrRStTuUVwWxXyY%h-").find(kind) != std::string_view::npos &&
                 kind != '\0',
             "strftime_now: the format {} is not supported", quote(format));
    if (kind == '-') ++at;
  }
  DS_CHECK(format.size() <= 1000, "strftime_now: the format is too long");
  const std::time_t now =
      std::chrono::system_clock::to_time_t(renderer.now().value_or(std::chrono::system_clock::now()));
  std::tm local{};
  localtime_r(&now, &local);
  char buffer[64 * 1024];
  const size_t size = std::strftime(buffer, sizeof buffer, format.c_str(), &local);
  return renderer.text(std::string(buffer, size));
}

using Function = Value (*)(TemplateRenderer&, const Arguments&);
const std::map<std::string_view, Function>& functions() {
  static const std::map<std::string_view, Function> table = {{"range", range},
                                                             {"dict", dict},
                                                             {"namespace", make_namespace},
                                                             {"raise_exception", raise_exception},
                                                             {"strftime_now", strftime_now}};
  return table;
}

}  // namespace

bool is_template_function(std::string_view name) { return functions().contains(name); }

Value call_template_function(TemplateRenderer& renderer, const std::string& name,
                             const Arguments& arguments) {
  return functions().at(name)(renderer, arguments);
}

}  // namespace deepspeed::text
