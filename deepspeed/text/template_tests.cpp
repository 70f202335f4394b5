// Jinja's tests.
#include <map>

#include "deepspeed/base/error.h"
#include "deepspeed/text/template_renderer.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

using Value = TemplateValue;
using Arguments = TemplateCallArguments;
using Test = bool (*)(TemplateRenderer&, const Value&, const Arguments&);

const Value& other(const Arguments& arguments) {
  arguments.check("a test", 1, {});
  DS_CHECK(!arguments.positional.empty(), "the test needs something to compare with");
  return arguments.positional[0];
}

bool same(const Value& a, const Value& b) {
  const bool plain = a.is_none() || a.is_undefined() || a.as<bool>() != nullptr;
  const bool other_plain = b.is_none() || b.is_undefined() || b.as<bool>() != nullptr;
  DS_CHECK(plain || other_plain, "'sameas' of a {} and a {} is not supported", a.type_name(), b.type_name());
  return plain && other_plain && std::string_view(a.type_name()) == b.type_name() && equal(a, b);
}

bool is_even(const Value& value, int64_t rest) {
  DS_CHECK(value.is_integer(), "'odd' and 'even' need a whole number, not a {}", value.type_name());
  return (value.integer() % 2 != 0) == (rest != 0);
}

bool divides(const Value& value, const Value& by) {
  DS_CHECK(value.is_integer() && by.is_integer() && by.integer() != 0, "'divisibleby' needs whole numbers");
  return by.integer() == -1 || value.integer() % by.integer() == 0;
}

bool is_cased(TemplateRenderer& renderer, const Value& value, bool upper) {
  const std::string text = to_text(value);
  const Value method = find_template_method(Value(text), upper ? "isupper" : "islower");
  return call_template_method(renderer, **method.as<Value::Callable>(), {}).truthy();
}

const std::map<std::string_view, Test>& tests() {
#define DS_ALONE(expression)                                            \
  [](TemplateRenderer& r, const Value& v, const Arguments& a) -> bool { \
    a.check("this test", 0, {});                                        \
    return expression;                                                  \
  }
#define DS_BESIDE(expression) \
  [](TemplateRenderer& r, const Value& v, const Arguments& a) -> bool { return expression; }
  static const Test equals = DS_BESIDE(equal(v, other(a)));
  static const Test differs = DS_BESIDE(!equal(v, other(a)));
  static const Test smaller = DS_BESIDE(less(v, other(a)));
  static const Test larger = DS_BESIDE(less(other(a), v));
  static const Test at_most = DS_BESIDE(!less(other(a), v));
  static const Test at_least = DS_BESIDE(!less(v, other(a)));
  static const std::map<std::string_view, Test> table = {
      {"defined", DS_ALONE(!v.is_undefined())},
      {"undefined", DS_ALONE(v.is_undefined())},
      {"none", DS_ALONE(v.is_none())},
      {"boolean", DS_ALONE(v.as<bool>() != nullptr)},
      {"true", DS_ALONE(v.as<bool>() != nullptr && *v.as<bool>())},
      {"false", DS_ALONE(v.as<bool>() != nullptr && !*v.as<bool>())},
      {"integer", DS_ALONE(v.as<int64_t>() != nullptr)},
      {"float", DS_ALONE(v.as<double>() != nullptr)},
      {"number", DS_ALONE(v.is_number())},
      {"string", DS_ALONE(v.text() != nullptr)},
      {"mapping", DS_ALONE(v.pairs() != nullptr)},
      {"iterable",
       DS_ALONE(v.text() != nullptr || v.items() != nullptr || v.pairs() != nullptr || v.is_undefined())},
      {"sequence",
       DS_ALONE(v.text() != nullptr || v.is_sequence() || v.pairs() != nullptr || v.is_undefined())},
      {"callable", DS_ALONE(v.as<Value::Callable>() != nullptr)},
      {"odd", DS_ALONE(is_even(v, 1))},
      {"even", DS_ALONE(is_even(v, 0))},
      {"upper", DS_ALONE(is_cased(r, v, true))},
      {"lower", DS_ALONE(is_cased(r, v, false))},
      {"escaped", DS_ALONE(v.is_markup())},
      {"divisibleby", DS_BESIDE(divides(v, other(a)))},
      {"sameas", DS_BESIDE(same(v, other(a)))},
      {"in", DS_BESIDE(r.contains(other(a), v))},
      {"eq", equals},
      {"equalto", equals},
      {"==", equals},
      {"ne", differs},
      {"!=", differs},
      {"lt", smaller},
      {"lessthan", smaller},
      {"<", smaller},
      {"gt", larger},
      {"greaterthan", larger},
      {">", larger},
      {"le", at_most},
      {"<=", at_most},
      {"ge", at_least},
      {">=", at_least},
  };
#undef DS_ALONE
#undef DS_BESIDE
  return table;
}

}  // namespace

bool TemplateRenderer::test(const std::string& name, const Value& value, const Arguments& arguments) {
  step();
  const auto found = tests().find(name);
  DS_CHECK(found != tests().end(), "the test {} is not supported", quote(name));
  return found->second(*this, value, arguments);
}

}  // namespace deepspeed::text
