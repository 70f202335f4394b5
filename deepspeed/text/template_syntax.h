// A chat template, parsed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "deepspeed/text/template_value.h"

namespace deepspeed::text {

struct TemplateExpression;
using TemplateExpressionPtr = std::unique_ptr<TemplateExpression>;

struct TemplateArguments {
  std::vector<TemplateExpressionPtr> positional;
  std::vector<std::pair<std::string, TemplateExpressionPtr>> named;
  TemplateExpressionPtr all_positional, all_named;  // *x, **x
};

struct TemplateExpression {
  enum class Kind {
    kConstant,    // constant
    kName,        // name
    kList,        // parts
    kTuple,       // parts
    kDict,        // parts: key, value, key, value ...
    kNot,         // not parts[0]
    kNegative,    // -parts[0]
    kPositive,    // +parts[0]
    kAnd,         // parts[0], parts[1]
    kOr,          // parts[0], parts[1]
    kArithmetic,  // parts[0] name parts[1]
    kConcat,      // parts[0] ~ parts[1] ~ ...
    kCompare,     // parts[0] operators[0] parts[1] operators[1] parts[2] ...
    kCondition,   // parts[1] if parts[0] else parts[2], which may be null
    kAttribute,   // parts[0].name
    kItem,        // parts[0][parts[1]]
    kSlice,       // parts[0][parts[1]:parts[2]:parts[3]], each of which may be null
    kCall,        // parts[0](arguments)
    kFilter,      // parts[0] | name(arguments); without parts[0] in a block
    kTest,        // parts[0] is name(arguments)
  };
  Kind kind;
  int line;
  std::string name;
  TemplateValue constant;
  std::vector<TemplateExpressionPtr> parts;
  std::vector<std::string> operators;
  TemplateArguments arguments;
  int height = 1;  // of expressions within each other
};

struct TemplateStatement;
using TemplateStatements = std::vector<TemplateStatement>;

/// What is assigned to: names (more than one takes a sequence apart), or an attribute of a namespace.
struct TemplateTarget {
  std::vector<std::string> names;
  std::string attribute;
};

struct TemplateParameter {
  std::string name;
  TemplateExpressionPtr otherwise;  // null: the value is undefined
};

struct TemplateStatement {
  enum class Kind {
    kData,        // text
    kOutput,      // expression
    kIf,          // expression, body, otherwise
    kFor,         // target in expression if condition: body, otherwise
    kSet,         // target = expression
    kSetBlock,    // target = body, through the filter in expression if there is one
    kWith,        // parameters: body
    kMacro,       // name (text), parameters: body
    kCall,        // expression called with body as caller(parameters)
    kFilter,      // body through the filter in expression
    kGeneration,  // body
    kBreak,
    kContinue,
  };
  Kind kind;
  int line;
  std::string text;
  TemplateTarget target;
  TemplateExpressionPtr expression, condition;
  std::vector<TemplateParameter> parameters;
  TemplateStatements body, otherwise;
};

/// An Error names the template, the line and what it does not understand.
TemplateStatements parse_template(std::string_view source, const std::string& name);

}  // namespace deepspeed::text
