#include "deepspeed/text/template_renderer.h"

#include <algorithm>
#include <cmath>

#include "deepspeed/base/error.h"
#include "deepspeed/text/template_lexer.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {

namespace {

using Kind = TemplateExpression::Kind;
using Statement = TemplateStatement;
using Value = TemplateValue;

}  // namespace

// One more level of recursion while it lives.
class TemplateRendererDepth {
 public:
  explicit TemplateRendererDepth(TemplateRenderer& renderer) : renderer_(renderer) {
    if (++renderer_.depth_ > kMaxTemplateCalls) base::fail("too many calls within each other");
  }
  ~TemplateRendererDepth() { --renderer_.depth_; }
  TemplateRendererDepth(const TemplateRendererDepth&) = delete;
  TemplateRendererDepth& operator=(const TemplateRendererDepth&) = delete;

 private:
  TemplateRenderer& renderer_;
};

namespace {

// Names set while it lives are gone afterwards.
class InnerScope {
 public:
  InnerScope(std::shared_ptr<TemplateScope>& scope, std::shared_ptr<TemplateScope> around)
      : scope_(scope), before_(scope) {
    scope_ = std::make_shared<TemplateScope>();
    scope_->around = std::move(around);
  }
  ~InnerScope() { scope_ = before_; }
  InnerScope(const InnerScope&) = delete;
  InnerScope& operator=(const InnerScope&) = delete;

 private:
  std::shared_ptr<TemplateScope>& scope_;
  std::shared_ptr<TemplateScope> before_;
};

}  // namespace

const Value* TemplateScope::find(std::string_view name) const {
  for (const TemplateScope* scope = this; scope != nullptr; scope = scope->around.get())
    for (const auto& [known, value] : scope->names)
      if (known == name) return &value;
  return nullptr;
}

void TemplateScope::set(const std::string& name, Value value) {
  for (auto& [known, old] : names)
    if (known == name) {
      old = std::move(value);
      return;
    }
  names.emplace_back(name, std::move(value));
}

TemplateRenderer::TemplateRenderer(const std::string& name, const Value& variables,
                                   const TemplateLimits& limits, Now now)
    : name_(name),
      variables_(variables),
      limits_(limits),
      now_(now),
      scope_(std::make_shared<TemplateScope>()) {}

TemplateRenderer::~TemplateRenderer() {
  for (const auto& scope : macro_scopes_) scope->names.clear();
}

std::string TemplateRenderer::run(const TemplateStatements& statements) {
  std::string out;
  output_ = &out;
  try {
    execute(statements, out);
  } catch (const base::Error& error) {
    fail_template(name_, line_, error.what());
  }
  return out;
}

void TemplateRenderer::step() {
  DS_CHECK(limits_.steps-- > 0, "the template takes more steps than are allowed");
}

void TemplateRenderer::spend(size_t bytes) {
  const uint64_t steps = 1 + bytes / 256;
  DS_CHECK(limits_.bytes >= bytes, "the template needs more memory than is allowed");
  DS_CHECK(limits_.steps >= steps, "the template takes more steps than are allowed");
  limits_.bytes -= bytes;
  limits_.steps -= steps;
}

Value TemplateRenderer::text(std::string value) {
  spend(value.size());
  return Value(std::move(value));
}

Value TemplateRenderer::list(Value::Items items, TemplateList::Kind kind) {
  spend(items.size() * sizeof(Value));
  return Value::list(std::move(items), kind);
}

// ---- statements

TemplateRenderer::Flow TemplateRenderer::execute(const TemplateStatements& statements, std::string& out) {
  for (const Statement& statement : statements) {
    line_ = statement.line;
    const Flow flow = execute(statement, out);
    if (flow != Flow::kOn) return flow;
  }
  return Flow::kOn;
}

TemplateRenderer::Flow TemplateRenderer::execute(const Statement& statement, std::string& out) {
  const TemplateRendererDepth depth(*this);
  step();
  switch (statement.kind) {
    case Statement::Kind::kData:
      write(Value(statement.text), out);
      break;
    case Statement::Kind::kOutput:
      write(evaluate(*statement.expression), out);
      break;
    case Statement::Kind::kIf:
      return execute(evaluate(*statement.expression).truthy() ? statement.body : statement.otherwise, out);
    case Statement::Kind::kFor:
      return execute_loop(statement, out);
    case Statement::Kind::kSet:
      assign(statement.target, evaluate(*statement.expression));
      break;
    case Statement::Kind::kSetBlock: {
      Value value = text(inner_text(statement.body));
      if (statement.expression) value = apply_filter(*statement.expression, value);
      assign(statement.target, std::move(value));
      break;
    }
    case Statement::Kind::kWith: {
      Value::Items values;
      for (const auto& parameter : statement.parameters) values.push_back(evaluate(*parameter.otherwise));
      const InnerScope scope(scope_, scope_);
      for (size_t i = 0; i < values.size(); ++i) scope_->set(statement.parameters[i].name, values[i]);
      return execute(statement.body, out);
    }
    case Statement::Kind::kMacro:
      scope_->set(statement.text, make_macro(statement));
      break;
    case Statement::Kind::kCall:
      execute_call(statement, out);
      break;
    case Statement::Kind::kFilter:
      write(apply_filter(*statement.expression, text(inner_text(statement.body))), out);
      break;
    case Statement::Kind::kGeneration:
      execute_generation(statement, out);
      break;
    case Statement::Kind::kBreak:
      return Flow::kBreak;
    case Statement::Kind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kOn;
}

void TemplateRenderer::write(const Value& value, std::string& out) {
  const std::string* text = value.text();
  const size_t before = out.size();
  out += text != nullptr ? *text : to_text(value);
  spend(out.size() - before);
  DS_CHECK(out.size() <= limits_.output, "the template writes more than {} bytes", limits_.output);
}

std::string TemplateRenderer::inner_text(const TemplateStatements& body) {
  const InnerScope scope(scope_, scope_);
  std::string out;
  execute(body, out);
  return out;
}

void TemplateRenderer::execute_generation(const Statement& statement, std::string& out) {
  const std::string body = inner_text(statement.body);
  const size_t begin = out.size();
  write(Value(body), out);
  if (&out == output_) generations_.emplace_back(begin, out.size());
}

Value TemplateRenderer::make_macro(const Statement& statement) {
  if (macro_scopes_.empty() || macro_scopes_.back() != scope_) macro_scopes_.push_back(scope_);
  spend(sizeof(TemplateCallable));
  return Value(std::make_shared<const TemplateCallable>(TemplateCallable{
      TemplateCallable::Kind::kMacro, statement.text, Value(), &statement, scope_, nullptr}));
}

void TemplateRenderer::execute_call(const Statement& statement, std::string& out) {
  const Value callee = evaluate(*statement.expression->parts[0]);
  TemplateCallArguments given = arguments(statement.expression->arguments);
  given.named.emplace_back("caller", make_macro(statement));
  write(call(callee, std::move(given)), out);
}

void TemplateRenderer::assign(const TemplateTarget& target, Value value) {
  if (!target.attribute.empty()) {
    const Value* object = scope_->find(target.names[0]);
    const auto* space = object != nullptr ? object->as<Value::Namespace>() : nullptr;
    DS_CHECK(space != nullptr, "'{}' is no namespace: its attributes cannot be set", target.names[0]);
    DS_CHECK(!target.attribute.starts_with('_'), "a namespace cannot hold '{}'", target.attribute);
    DS_CHECK(value.as<Value::Namespace>() == nullptr && value.as<Value::Callable>() == nullptr,
             "a {} within a namespace is not supported", value.type_name());
    for (auto& [name, old] : (*space)->items)
      if (name == target.attribute) {
        old = std::move(value);
        return;
      }
    (*space)->items.emplace_back(target.attribute, std::move(value));
    return;
  }
  if (target.names.size() == 1) return scope_->set(target.names[0], std::move(value));
  const Value::Items items = iterate(value);
  DS_CHECK(items.size() == target.names.size(), "{} values for {} names", items.size(), target.names.size());
  for (size_t i = 0; i < items.size(); ++i) scope_->set(target.names[i], items[i]);
}

TemplateRenderer::Flow TemplateRenderer::execute_loop(const Statement& statement, std::string& out) {
  auto loop = std::make_shared<TemplateLoop>();
  loop->items = iterate(evaluate(*statement.expression));
  const std::shared_ptr<TemplateScope> around = scope_;
  if (statement.condition) {
    Value::Items kept;
    for (const Value& item : loop->items) {
      const InnerScope scope(scope_, around);
      assign(statement.target, item);
      if (evaluate(*statement.condition).truthy()) kept.push_back(item);
    }
    loop->items = std::move(kept);
  }
  const Value state(std::make_shared<const TemplateCallable>(
      TemplateCallable{TemplateCallable::Kind::kLoop, "loop", Value(), nullptr, nullptr, loop}));
  for (; loop->index < loop->items.size(); ++loop->index) {
    step();
    const InnerScope scope(scope_, around);
    scope_->set("loop", state);
    assign(statement.target, loop->items[loop->index]);
    if (execute(statement.body, out) == Flow::kBreak) break;
  }
  if (loop->items.empty()) {
    const InnerScope scope(scope_, around);
    return execute(statement.otherwise, out);
  }
  return Flow::kOn;
}

// ---- calls

TemplateCallArguments TemplateRenderer::arguments(const TemplateArguments& given) {
  TemplateCallArguments out;
  for (const auto& argument : given.positional) out.positional.push_back(evaluate(*argument));
  for (const auto& [name, argument] : given.named) out.named.emplace_back(name, evaluate(*argument));
  if (given.all_positional)
    for (Value& item : iterate(evaluate(*given.all_positional))) out.positional.push_back(std::move(item));
  if (given.all_named) {
    const Value named = evaluate(*given.all_named);
    DS_CHECK(named.pairs() != nullptr, "what follows '**' is a {}, not a dict", named.type_name());
    for (const auto& [key, value] : *named.pairs()) {
      DS_CHECK(key.text() != nullptr, "an argument's name is a {}", key.type_name());
      out.named.emplace_back(*key.text(), value);
    }
  }
  for (size_t i = 0; i < out.named.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      DS_CHECK(out.named[i].first != out.named[j].first, "'{}' is given twice", out.named[i].first);
  spend((out.positional.size() + out.named.size()) * sizeof(Value));
  return out;
}

Value TemplateRenderer::call(const Value& callee, TemplateCallArguments arguments) {
  const auto* callable = callee.as<Value::Callable>();
  DS_CHECK(callable != nullptr, "a {} cannot be called", callee.type_name());
  const std::shared_ptr<const TemplateCallable> held = *callable;
  switch (held->kind) {
    case TemplateCallable::Kind::kMacro:
      return call_macro(*held, std::move(arguments));
    case TemplateCallable::Kind::kFunction:
      return call_template_function(*this, held->name, arguments);
    case TemplateCallable::Kind::kMethod:
      return call_template_method(*this, *held, arguments);
    case TemplateCallable::Kind::kLoop:
      break;
  }
  base::fail("a recursive loop is not supported");
}

Value TemplateRenderer::call_macro(const TemplateCallable& macro, TemplateCallArguments arguments) {
  const TemplateRendererDepth depth(*this);
  const Statement& statement = *macro.macro;
  const int line = line_;
  const InnerScope scope(scope_, macro.scope);
  const auto& parameters = statement.parameters;
  DS_CHECK(arguments.positional.size() <= parameters.size(), "macro '{}' takes {} arguments, not {}",
           macro.name, parameters.size(), arguments.positional.size());
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto named =
        std::find_if(arguments.named.begin(), arguments.named.end(),
                     [&](const auto& argument) { return argument.first == parameters[i].name; });
    if (i < arguments.positional.size()) {
      DS_CHECK(named == arguments.named.end(), "macro '{}': '{}' is given twice", macro.name,
               parameters[i].name);
      scope_->set(parameters[i].name, arguments.positional[i]);
    } else if (named != arguments.named.end()) {
      scope_->set(parameters[i].name, named->second);
      arguments.named.erase(named);
    } else {
      scope_->set(parameters[i].name, parameters[i].otherwise ? evaluate(*parameters[i].otherwise) : Value());
    }
  }
  scope_->set("caller", Value());
  for (auto& [name, value] : arguments.named) {
    DS_CHECK(name == "caller", "macro '{}' has no argument '{}'", macro.name, name);
    scope_->set("caller", std::move(value));
  }
  std::string out;
  execute(statement.body, out);
  line_ = line;
  return text(std::move(out));
}

Value TemplateRenderer::apply_filter(const TemplateExpression& expression, std::optional<Value> input) {
  Value value = expression.parts[0] == nullptr ? *input
                : expression.parts[0]->kind == Kind::kFilter && input
                    ? apply_filter(*expression.parts[0], std::move(input))
                    : evaluate(*expression.parts[0]);
  return filter(expression.name, value, arguments(expression.arguments));
}

}  // namespace deepspeed::text
