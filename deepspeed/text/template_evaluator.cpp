// The expressions of chat templates.
#include <algorithm>
#include <cmath>

#include "deepspeed/base/error.h"
#include "deepspeed/text/template_lexer.h"
#include "deepspeed/text/template_renderer.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {

using Kind = TemplateExpression::Kind;
using Value = TemplateValue;

namespace {

int64_t checked(bool overflows, int64_t result) {
  DS_CHECK(!overflows, "a whole number needs more than 64 bits");
  return result;
}

int64_t floor_divide(int64_t a, int64_t b) {
  DS_CHECK(b != 0, "division by zero");
  DS_CHECK(b != -1 || a != INT64_MIN, "a whole number needs more than 64 bits");
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

int64_t power(int64_t base, int64_t exponent) {
  if (base >= -1 && base <= 1)
    return exponent == 0 || base == 1 ? 1 : base == 0 ? 0 : exponent % 2 == 0 ? 1 : -1;
  DS_CHECK(exponent <= 64, "a whole number needs more than 64 bits");
  int64_t result = 1;
  for (int64_t i = 0; i < exponent; ++i) {
    const bool overflows = __builtin_mul_overflow(result, base, &result);
    result = checked(overflows, result);
  }
  return result;
}

Value whole_arithmetic(const std::string& operation, int64_t a, int64_t b) {
  int64_t r = 0;
  const bool overflows = operation == "+"   ? __builtin_add_overflow(a, b, &r)
                         : operation == "-" ? __builtin_sub_overflow(a, b, &r)
                         : operation == "*" ? __builtin_mul_overflow(a, b, &r)
                                            : false;
  if (operation == "+" || operation == "-" || operation == "*") return Value(checked(overflows, r));
  if (operation == "//") return Value(floor_divide(a, b));
  if (operation == "%") return Value(b == -1 ? 0 : a - floor_divide(a, b) * b);
  if (operation == "**" && b >= 0) return Value(power(a, b));
  if (operation == "**") return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
  DS_CHECK(b != 0, "division by zero");
  constexpr int64_t kExact = int64_t{1} << 53;
  DS_CHECK(std::max(std::abs(a), std::abs(b)) <= kExact,
           "division of whole numbers this large is not supported");
  return Value(static_cast<double>(a) / static_cast<double>(b));
}

Value fraction_arithmetic(const std::string& operation, double a, double b) {
  if (operation == "+") return Value(a + b);
  if (operation == "-") return Value(a - b);
  if (operation == "*") return Value(a * b);
  if (operation == "**") return Value(std::pow(a, b));
  DS_CHECK(b != 0, "division by zero");
  if (operation == "/") return Value(a / b);
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  return Value(operation == "%" ? rest : std::round((a - rest) / b));
}

void refuse_markup(const Value& value) {
  DS_CHECK(!value.is_markup(), "joining what 'safe' or 'escape' returned to other text is not supported");
}

// Where a slice begins or ends, as Python's slice.indices.
int64_t bound(const Value& given, int64_t size, int64_t step, bool is_begin) {
  const int64_t least = step < 0 ? -1 : 0, most = step < 0 ? size - 1 : size;
  if (given.is_none()) return is_begin == (step > 0) ? least : most;
  DS_CHECK(given.is_integer(), "a slice's bounds are whole numbers, not a {}", given.type_name());
  int64_t at = given.integer();
  if (at < 0) at = at < -size ? least : at + size;
  return std::clamp(at, least, most);
}

}  // namespace

Value TemplateRenderer::evaluate(const TemplateExpression& expression) {
  step();
  line_ = expression.line;
  DS_CHECK(depth_ < kMaxTemplateCalls, "too many calls within each other");
  struct Depth {
    int& depth;
    explicit Depth(int& d) : depth(++d) {}
    ~Depth() { --depth; }
  } const deeper(depth_);
  const auto part = [&](size_t i) { return evaluate(*expression.parts[i]); };
  const auto all_parts = [&] {
    Value::Items items;
    for (const auto& p : expression.parts) items.push_back(evaluate(*p));
    return items;
  };
  switch (expression.kind) {
    case Kind::kConstant:
      return expression.constant;
    case Kind::kName:
      return name_value(expression);
    case Kind::kList:
      return list(all_parts());
    case Kind::kTuple:
      return list(all_parts(), TemplateList::Kind::kTuple);
    case Kind::kDict:
      return dict(expression);
    case Kind::kNot:
      return Value(!part(0).truthy());
    case Kind::kNegative:
    case Kind::kPositive:
      return negative(part(0), expression.kind == Kind::kNegative);
    case Kind::kAnd: {
      Value left = part(0);
      return left.truthy() ? part(1) : left;
    }
    case Kind::kOr: {
      Value left = part(0);
      return left.truthy() ? left : part(1);
    }
    case Kind::kArithmetic: {
      const Value left = part(0);
      return arithmetic(expression.name, left, part(1));
    }
    case Kind::kConcat:
      return concatenate(expression);
    case Kind::kCompare:
      return compare(expression);
    case Kind::kCondition:
      if (part(0).truthy()) return part(1);
      return expression.parts[2] ? part(2) : Value();
    case Kind::kAttribute:
      return attribute(part(0), expression.name);
    case Kind::kItem: {
      const Value object = part(0);
      return item(object, part(1));
    }
    case Kind::kSlice:
      return slice(expression);
    case Kind::kCall: {
      const Value callee = part(0);
      return call(callee, arguments(expression.arguments));
    }
    case Kind::kFilter:
      return apply_filter(expression, std::nullopt);
    case Kind::kTest: {
      const Value value = part(0);
      return Value(test(expression.name, value, arguments(expression.arguments)));
    }
  }
  return {};
}

Value TemplateRenderer::name_value(const TemplateExpression& expression) {
  const std::string& name = expression.name;
  if (const Value* value = scope_->find(name)) return *value;
  if (const Value* value = variables_.find(std::string_view(name))) return *value;
  if (is_template_function(name))
    return Value(std::make_shared<const TemplateCallable>(
        TemplateCallable{TemplateCallable::Kind::kFunction, name, Value(), nullptr, nullptr, nullptr}));
  for (const char* other : {"self", "super", "varargs", "kwargs", "cycler", "joiner", "lipsum"})
    DS_CHECK(name != other, "'{}' is not supported", name);
  return {};
}

Value TemplateRenderer::dict(const TemplateExpression& expression) {
  Value::Pairs pairs;
  for (size_t i = 0; i < expression.parts.size(); i += 2) {
    Value key = evaluate(*expression.parts[i]);
    DS_CHECK(key.text() != nullptr || key.is_number() || key.is_none(),
             "a {} as the key of a dict is not supported", key.type_name());
    pairs.emplace_back(std::move(key), evaluate(*expression.parts[i + 1]));
  }
  spend(pairs.size() * 2 * sizeof(Value));
  return Value::dict(std::move(pairs));
}

Value TemplateRenderer::negative(const Value& value, bool negates) {
  DS_CHECK(value.is_number(), "a {} has no sign", value.type_name());
  if (!value.is_integer()) return Value(negates ? -value.number() : value.number());
  return negates ? whole_arithmetic("-", 0, value.integer()) : Value(value.integer());
}

Value TemplateRenderer::arithmetic(const std::string& operation, const Value& left, const Value& right) {
  if (left.is_integer() && right.is_integer())
    return whole_arithmetic(operation, left.integer(), right.integer());
  if (left.is_number() && right.is_number())
    return fraction_arithmetic(operation, left.number(), right.number());
  if (operation == "+" && left.text() != nullptr && right.text() != nullptr) {
    refuse_markup(left);
    refuse_markup(right);
    spend(left.text()->size() + right.text()->size());
    return Value(*left.text() + *right.text());
  }
  const bool lists = left.is(TemplateList::Kind::kList) && right.is(TemplateList::Kind::kList);
  if (operation == "+" && (lists || (left.is_tuple() && right.is_tuple()))) {
    Value::Items items = *left.items();
    items.insert(items.end(), right.items()->begin(), right.items()->end());
    return list(std::move(items), lists ? TemplateList::Kind::kList : TemplateList::Kind::kTuple);
  }
  if (operation == "*" && (left.is_integer() || right.is_integer())) {
    const Value& many = left.is_integer() ? right : left;
    const auto count =
        static_cast<uint64_t>(std::max<int64_t>(0, (left.is_integer() ? left : right).integer()));
    const size_t width = many.text() != nullptr    ? many.text()->size()
                         : many.items() != nullptr ? many.items()->size()
                                                   : 0;
    DS_CHECK(count <= (uint64_t{1} << 32), "the template needs more memory than is allowed");
    if (many.text() != nullptr) {
      refuse_markup(many);
      spend(width * count);
      std::string out;
      for (uint64_t i = 0; i < count && width > 0; ++i) out += *many.text();
      return Value(std::move(out));
    }
    if (many.is(TemplateList::Kind::kList) || many.is_tuple()) {
      spend(width * count * sizeof(Value));
      Value::Items out;
      for (uint64_t i = 0; i < count && width > 0; ++i)
        out.insert(out.end(), many.items()->begin(), many.items()->end());
      return Value::list(std::move(out), (*many.as<Value::List>())->kind);
    }
  }
  DS_CHECK(operation != "%" || left.text() == nullptr, "formatting with '%' is not supported");
  base::fail("'{}' does not work on a {} and a {}", operation, left.type_name(), right.type_name());
}

Value TemplateRenderer::concatenate(const TemplateExpression& expression) {
  std::string out;
  for (const auto& part : expression.parts) {
    const Value value = evaluate(*part);
    refuse_markup(value);
    const std::string piece = to_text(value);
    spend(piece.size());
    out += piece;
  }
  return Value(std::move(out));
}

bool TemplateRenderer::compares(const std::string& operation, const Value& left, const Value& right) {
  if (operation == "in") return contains(right, left);
  if (operation == "not in") return !contains(right, left);
  spend((left.text() != nullptr ? left.text()->size() : 0) +
        (left.items() != nullptr ? left.items()->size() * 64 : 0) +
        (left.pairs() != nullptr ? left.pairs()->size() * left.pairs()->size() * 64 : 0));
  if (operation == "==") return equal(left, right);
  if (operation == "!=") return !equal(left, right);
  if (operation == "<") return less(left, right);
  if (operation == ">") return less(right, left);
  const bool nan =
      left.is_number() && right.is_number() && (std::isnan(left.number()) || std::isnan(right.number()));
  return !nan && (operation == "<=" ? !less(right, left) : !less(left, right));
}

Value TemplateRenderer::compare(const TemplateExpression& expression) {
  Value left = evaluate(*expression.parts[0]);
  for (size_t i = 0; i < expression.operators.size(); ++i) {
    Value right = evaluate(*expression.parts[i + 1]);
    if (!compares(expression.operators[i], left, right)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

bool TemplateRenderer::contains(const Value& container, const Value& value) {
  if (const std::string* text = container.text()) {
    DS_CHECK(value.text() != nullptr, "a text cannot hold a {}", value.type_name());
    spend(text->size());
    return text->find(*value.text()) != std::string::npos;
  }
  if (container.pairs() != nullptr) {
    spend(container.pairs()->size() * 16);
    return container.find(value) != nullptr;
  }
  if (container.is_undefined()) return false;
  const Value::Items items = iterate(container);
  spend(items.size() * 16);
  return std::any_of(items.begin(), items.end(), [&](const Value& item) { return equal(item, value); });
}

Value::Items TemplateRenderer::iterate(const Value& value) {
  Value::Items out;
  if (const auto* list = value.as<Value::List>()) {
    const size_t read = (*list)->read;
    out.assign((*list)->items.begin() + static_cast<ptrdiff_t>(read), (*list)->items.end());
    if (value.is(TemplateList::Kind::kGenerator)) (*list)->read = (*list)->items.size();
  } else if (const auto* pairs = value.pairs()) {
    for (const auto& [key, item] : *pairs) out.push_back(key);
  } else if (const std::string* text = value.text()) {
    for (size_t at = 0; at < text->size(); at += utf8_length((*text)[at]))
      out.emplace_back(text->substr(at, utf8_length((*text)[at])));
    spend(out.size() * 64);
  } else {
    DS_CHECK(value.is_undefined(), "a {} cannot be iterated over", value.type_name());
  }
  spend(out.size() * sizeof(Value));
  return out;
}

Value TemplateRenderer::attribute(const Value& object, const std::string& name) {
  DS_CHECK(!object.is_undefined(), "what is undefined has no attribute '{}'", name);
  DS_CHECK(!name.starts_with("_"), "the attribute '{}' is not accessible", name);
  if (const auto* space = object.as<Value::Namespace>()) {
    for (const auto& [known, value] : (*space)->items)
      if (known == name) return value;
    return {};
  }
  Value method = find_template_method(object, name);
  if (!method.is_undefined()) return method;
  if (const Value* found = object.find(std::string_view(name))) return *found;
  return {};
}

Value TemplateRenderer::item(const Value& object, const Value& key) {
  DS_CHECK(!object.is_undefined(), "what is undefined has no items");
  if (object.pairs() != nullptr) {
    spend(object.pairs()->size());
    if (const Value* found = object.find(key)) return *found;
  } else if (key.is_integer() && (object.is_sequence() || object.text() != nullptr)) {
    const std::string* text = object.text();
    const auto size =
        static_cast<int64_t>(text != nullptr ? count_code_points(*text) : object.items()->size());
    if (text != nullptr) spend(text->size());
    const int64_t at = key.integer() < 0 ? key.integer() + size : key.integer();
    if (at < 0 || at >= size) return {};
    if (text == nullptr) return (*object.items())[static_cast<size_t>(at)];
    const size_t begin = byte_of_code_point(*text, static_cast<size_t>(at));
    return Value(text->substr(begin, utf8_length((*text)[begin])));
  }
  if (key.text() != nullptr) {
    if (key.text()->starts_with("_")) return {};
    if (object.as<Value::Namespace>() != nullptr) return attribute(object, *key.text());
    return find_template_method(object, *key.text());
  }
  return {};
}

Value TemplateRenderer::slice(const TemplateExpression& expression) {
  const Value object = evaluate(*expression.parts[0]);
  Value given[3] = {Value::None{}, Value::None{}, Value::None{}};
  for (size_t i = 0; i < 3; ++i)
    if (expression.parts[i + 1]) given[i] = evaluate(*expression.parts[i + 1]);
  DS_CHECK(!object.is_undefined(), "what is undefined has no slices");
  const std::string* text = object.text();
  DS_CHECK(text == nullptr || !object.is_markup(),
           "a slice of what 'safe' or 'escape' returned is not supported");
  if (text == nullptr && !object.is_sequence()) return {};
  DS_CHECK(given[2].is_none() || given[2].is_integer(), "a slice's step is a whole number");
  const int64_t step = given[2].is_none() ? 1 : given[2].integer();
  DS_CHECK(step != 0, "a slice's step is zero");
  const Value::Items items = text != nullptr ? iterate(object) : *object.items();
  const auto size = static_cast<int64_t>(items.size());
  const int64_t begin = bound(given[0], size, step, true), end = bound(given[1], size, step, false);
  Value::Items out;
  for (int64_t at = begin; step > 0 ? at < end : at > end;) {
    out.push_back(items[static_cast<size_t>(at)]);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  if (text == nullptr) return list(std::move(out), (*object.as<Value::List>())->kind);
  std::string joined;
  for (const Value& character : out) joined += *character.text();
  return this->text(std::move(joined));
}

}  // namespace deepspeed::text
