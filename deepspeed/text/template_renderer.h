// Runs a chat template. Private to template_*.cpp and chat_template.cpp.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "deepspeed/text/template_syntax.h"

namespace deepspeed::text {

class TemplateRenderer;

constexpr int kMaxTemplateCalls = 700;  // statements, expressions and macros within each other

/// Names and their values within a body; what it lacks is looked for around it.
struct TemplateScope {
  std::vector<std::pair<std::string, TemplateValue>> names;
  std::shared_ptr<TemplateScope> around;

  const TemplateValue* find(std::string_view name) const;
  void set(const std::string& name, TemplateValue value);
};

/// The arguments of a call; functions take them by name or place.
struct TemplateCallArguments {
  TemplateValue::Items positional;
  std::vector<std::pair<std::string, TemplateValue>> named;

  /// The argument of that place or name; null when it is not given.
  const TemplateValue* get(size_t place, std::string_view name) const;
  /// An Error when there are more than `count`, or one of a name that is not in `names`.
  void check(std::string_view function, size_t count, std::initializer_list<std::string_view> names) const;
};

struct TemplateLoop {
  TemplateValue::Items items;
  size_t index = 0;
  std::optional<TemplateValue> last_changed;
};

/// What can be called: a function of the language, a method with its object, a macro, or the state of a loop.
struct TemplateCallable {
  enum class Kind { kFunction, kMethod, kMacro, kLoop };
  Kind kind;
  std::string name;
  TemplateValue self;                        // of a method
  const TemplateStatement* macro = nullptr;  // its parameters and body
  std::shared_ptr<TemplateScope> scope;      // where the macro was made
  std::shared_ptr<TemplateLoop> loop;        // also of the methods of a loop
};

/// What rendering may cost: a template that needs more is an Error.
struct TemplateLimits {
  uint64_t steps = 2'000'000;
  uint64_t bytes = uint64_t{512} << 20;  // of all texts and lists that are made on the way
  size_t output = size_t{32} << 20;
};

class TemplateRenderer {
 public:
  using Now = std::optional<std::chrono::system_clock::time_point>;
  TemplateRenderer(const std::string& name, const TemplateValue& variables, const TemplateLimits& limits,
                   Now now);
  ~TemplateRenderer();
  TemplateRenderer(const TemplateRenderer&) = delete;
  TemplateRenderer& operator=(const TemplateRenderer&) = delete;

  std::string run(const TemplateStatements& statements);
  /// Where `generation` blocks lie in what run() returned: bytes [begin, end).
  const std::vector<std::pair<size_t, size_t>>& generations() const { return generations_; }

  // What filters, tests, methods and functions use.

  /// Counts work and memory.
  void spend(size_t bytes);
  TemplateValue text(std::string value);
  TemplateValue list(TemplateValue::Items items, TemplateList::Kind kind = TemplateList::Kind::kList);
  /// Python's iteration; a generator's items are gone afterwards.
  TemplateValue::Items iterate(const TemplateValue& value);
  TemplateValue attribute(const TemplateValue& object, const std::string& name);
  TemplateValue item(const TemplateValue& object, const TemplateValue& key);
  bool contains(const TemplateValue& container, const TemplateValue& value);
  TemplateValue filter(const std::string& name, const TemplateValue& value,
                       const TemplateCallArguments& arguments);
  bool test(const std::string& name, const TemplateValue& value, const TemplateCallArguments& arguments);
  /// Python's `left operation right`.
  TemplateValue arithmetic(const std::string& operation, const TemplateValue& left,
                           const TemplateValue& right);
  Now now() const { return now_; }

 private:
  enum class Flow { kOn, kBreak, kContinue };
  friend class TemplateRendererDepth;

  Flow execute(const TemplateStatements& statements, std::string& out);
  Flow execute(const TemplateStatement& statement, std::string& out);
  Flow execute_loop(const TemplateStatement& statement, std::string& out);
  void assign(const TemplateTarget& target, TemplateValue value);
  void write(const TemplateValue& value, std::string& out);
  std::string inner_text(const TemplateStatements& body);
  void execute_call(const TemplateStatement& statement, std::string& out);
  void execute_generation(const TemplateStatement& statement, std::string& out);

  TemplateValue evaluate(const TemplateExpression& expression);
  TemplateValue name_value(const TemplateExpression& expression);
  TemplateValue compare(const TemplateExpression& expression);
  bool compares(const std::string& operation, const TemplateValue& left, const TemplateValue& right);
  TemplateValue concatenate(const TemplateExpression& expression);
  TemplateValue slice(const TemplateExpression& expression);
  TemplateValue negative(const TemplateValue& value, bool negates);
  TemplateValue dict(const TemplateExpression& expression);
  TemplateCallArguments arguments(const TemplateArguments& given);
  TemplateValue call(const TemplateValue& callee, TemplateCallArguments arguments);
  TemplateValue call_macro(const TemplateCallable& macro, TemplateCallArguments arguments);
  TemplateValue apply_filter(const TemplateExpression& expression, std::optional<TemplateValue> input);
  TemplateValue make_macro(const TemplateStatement& statement);
  void step();

  std::string name_;
  const TemplateValue& variables_;
  TemplateLimits limits_;
  Now now_;
  std::shared_ptr<TemplateScope> scope_;
  std::vector<std::shared_ptr<TemplateScope>>
      macro_scopes_;  // emptied at the end: macros and scopes hold each other
  std::vector<std::pair<size_t, size_t>> generations_;
  int depth_ = 0;
  int line_ = 1;
  const std::string* output_ = nullptr;
};

// template_functions.cpp, template_methods.cpp

/// A function of the language by its name, such as range; null where there is none.
bool is_template_function(std::string_view name);
TemplateValue call_template_function(TemplateRenderer& renderer, const std::string& name,
                                     const TemplateCallArguments& arguments);
/// A method of the object by its name; undefined where Python has none. An Error where Python has one that is
/// not here.
TemplateValue find_template_method(const TemplateValue& object, const std::string& name);
TemplateValue call_template_method(TemplateRenderer& renderer, const TemplateCallable& method,
                                   const TemplateCallArguments& arguments);

}  // namespace deepspeed::text
