#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/text/template_parser.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {

using Kind = TemplateExpression::Kind;
using Token = TemplateToken::Kind;
using Ptr = TemplateExpressionPtr;

bool TemplateTokens::take_name(std::string_view text) {
  const bool found = is_name(text);
  if (found) take();
  return found;
}

bool TemplateTokens::take_operator(std::string_view text) {
  const bool found = is_operator(text);
  if (found) take();
  return found;
}

void TemplateTokens::expect(TemplateToken::Kind kind, std::string_view what) {
  if (!is(kind))
    fail(std::string(what) + " is expected" +
         (current().text.empty() ? "" : " instead of " + quote(current().text)));
  take();
}

void TemplateTokens::expect_name(std::string_view text) {
  if (!take_name(text)) fail(fmt::format("'{}' is expected instead of {}", text, quote(current().text)));
}

void TemplateTokens::expect_operator(std::string_view text) {
  if (!take_operator(text)) fail(fmt::format("'{}' is expected instead of {}", text, quote(current().text)));
}

std::string TemplateTokens::name(std::string_view what) {
  if (!is(Token::kName)) fail(std::string(what) + " is expected instead of " + quote(current().text));
  return take().text;
}

void TemplateTokens::fail(std::string_view what) const { fail_template(name_, current().line, what); }

Ptr TemplateExpressionParser::make(Kind kind, Ptr first, Ptr second) const {
  auto node = std::make_unique<TemplateExpression>();
  node->kind = kind;
  node->line = tokens_.current().line;
  if (first) add(*node, std::move(first));
  if (second) add(*node, std::move(second));
  return node;
}

void TemplateExpressionParser::grow(TemplateExpression& node, const Ptr& child) const {
  if (child) node.height = std::max(node.height, child->height + 1);
  if (node.height > kMaxTemplateHeight) tokens_.fail("too many operations within each other");
}

void TemplateExpressionParser::add(TemplateExpression& node, Ptr child) const {
  grow(node, child);
  node.parts.push_back(std::move(child));
}

Ptr TemplateExpressionParser::with_tuple(bool with_condition) {
  const auto one = [&] { return with_condition ? condition() : either(); };
  Ptr first = one();
  if (!tokens_.is_operator(",")) return first;
  Ptr tuple = make(Kind::kTuple, std::move(first));
  while (tokens_.take_operator(",")) {
    if (tokens_.is(Token::kVariableEnd) || tokens_.is(Token::kBlockEnd) || tokens_.is_operator(")") ||
        tokens_.is_name("in"))
      break;
    add(*tuple, one());
  }
  return tuple;
}

Ptr TemplateExpressionParser::condition() {
  const TemplateDepth depth(tokens_);
  Ptr value = either();
  while (tokens_.take_name("if")) {
    Ptr test = either();
    Ptr node = make(Kind::kCondition, std::move(test), std::move(value));
    add(*node, tokens_.take_name("else") ? condition() : nullptr);
    value = std::move(node);
  }
  return value;
}

Ptr TemplateExpressionParser::either() {
  Ptr left = both();
  while (tokens_.take_name("or")) left = make(Kind::kOr, std::move(left), both());
  return left;
}

Ptr TemplateExpressionParser::both() {
  Ptr left = negation();
  while (tokens_.take_name("and")) left = make(Kind::kAnd, std::move(left), negation());
  return left;
}

Ptr TemplateExpressionParser::negation() {
  if (!tokens_.is_name("not")) return comparison();
  const TemplateDepth depth(tokens_);
  tokens_.take();
  return make(Kind::kNot, negation());
}

Ptr TemplateExpressionParser::comparison() {
  Ptr left = sum();
  Ptr node;
  const auto compare = [&](const std::string& operation) {
    if (!node) node = make(Kind::kCompare, std::move(left));
    node->operators.push_back(operation);
    add(*node, sum());
  };
  while (true) {
    const TemplateToken& token = tokens_.current();
    const bool compares =
        token.kind == Token::kOperator && (token.text == "==" || token.text == "!=" || token.text == "<" ||
                                           token.text == "<=" || token.text == ">" || token.text == ">=");
    if (compares) {
      const std::string operation = tokens_.take().text;
      compare(operation);
    } else if (tokens_.take_name("in")) {
      compare("in");
    } else if (tokens_.is_name("not") && tokens_.next().kind == Token::kName && tokens_.next().text == "in") {
      tokens_.take();
      tokens_.take();
      compare("not in");
    } else {
      return node ? std::move(node) : std::move(left);
    }
  }
}

Ptr TemplateExpressionParser::sum() {
  Ptr left = concatenation();
  while (tokens_.is_operator("+") || tokens_.is_operator("-")) {
    const std::string operation = tokens_.take().text;
    left = make(Kind::kArithmetic, std::move(left), concatenation());
    left->name = operation;
  }
  return left;
}

Ptr TemplateExpressionParser::concatenation() {
  Ptr first = product();
  if (!tokens_.is_operator("~")) return first;
  Ptr node = make(Kind::kConcat, std::move(first));
  while (tokens_.take_operator("~")) add(*node, product());
  return node;
}

Ptr TemplateExpressionParser::product() {
  Ptr left = power();
  while (tokens_.is_operator("*") || tokens_.is_operator("/") || tokens_.is_operator("//") ||
         tokens_.is_operator("%")) {
    const std::string operation = tokens_.take().text;
    left = make(Kind::kArithmetic, std::move(left), power());
    left->name = operation;
  }
  return left;
}

Ptr TemplateExpressionParser::power() {
  Ptr left = unary();
  while (tokens_.take_operator("**")) {
    left = make(Kind::kArithmetic, std::move(left), unary());
    left->name = "**";
  }
  return left;
}

Ptr TemplateExpressionParser::unary(bool with_filter) {
  const TemplateDepth depth(tokens_);
  Ptr node;
  if (tokens_.take_operator("-"))
    node = make(Kind::kNegative, unary(false));
  else if (tokens_.take_operator("+"))
    node = make(Kind::kPositive, unary(false));
  else
    node = primary();
  node = postfix(std::move(node));
  return with_filter ? filters_and_tests(std::move(node)) : std::move(node);
}

Ptr TemplateExpressionParser::primary() {
  switch (tokens_.current().kind) {
    case Token::kName:
      return named();
    case Token::kString: {
      Ptr node = make(Kind::kConstant);
      std::string text;
      while (tokens_.is(Token::kString)) text += tokens_.take().text;
      node->constant = TemplateValue(std::move(text));
      return node;
    }
    case Token::kInteger: {
      Ptr node = make(Kind::kConstant);
      node->constant = TemplateValue(tokens_.take().integer);
      return node;
    }
    case Token::kFloat: {
      Ptr node = make(Kind::kConstant);
      node->constant = TemplateValue(tokens_.take().number);
      return node;
    }
    default:
      break;
  }
  if (tokens_.take_operator("(")) return bracketed();
  if (tokens_.take_operator("[")) return list();
  if (tokens_.take_operator("{")) return dict();
  tokens_.fail(tokens_.current().text.empty()
                   ? "an expression is missing"
                   : "an expression cannot begin with " + quote(tokens_.current().text));
}

Ptr TemplateExpressionParser::named() {
  const std::string name = tokens_.current().text;
  Ptr node = make(Kind::kConstant);
  tokens_.take();
  if (name == "true" || name == "True")
    node->constant = TemplateValue(true);
  else if (name == "false" || name == "False")
    node->constant = TemplateValue(false);
  else if (name == "none" || name == "None")
    node->constant = TemplateValue::None{};
  else
    node->kind = Kind::kName;
  node->name = name;
  return node;
}

Ptr TemplateExpressionParser::bracketed() {
  if (tokens_.take_operator(")")) return make(Kind::kTuple);
  Ptr node = with_tuple();
  tokens_.expect_operator(")");
  return node;
}

Ptr TemplateExpressionParser::list() {
  Ptr node = make(Kind::kList);
  while (!tokens_.take_operator("]")) {
    if (!node->parts.empty()) {
      tokens_.expect_operator(",");
      if (tokens_.take_operator("]")) break;
    }
    add(*node, condition());
  }
  return node;
}

Ptr TemplateExpressionParser::dict() {
  Ptr node = make(Kind::kDict);
  while (!tokens_.take_operator("}")) {
    if (!node->parts.empty()) {
      tokens_.expect_operator(",");
      if (tokens_.take_operator("}")) break;
    }
    add(*node, condition());
    tokens_.expect_operator(":");
    add(*node, condition());
  }
  return node;
}

Ptr TemplateExpressionParser::postfix(Ptr node) {
  while (true) {
    if (tokens_.take_operator(".")) {
      if (tokens_.is(Token::kInteger)) tokens_.fail("an index behind a dot is not supported; write [0]");
      Ptr attribute = make(Kind::kAttribute, std::move(node));
      attribute->name = tokens_.name("an attribute's name");
      node = std::move(attribute);
    } else if (tokens_.take_operator("[")) {
      node = subscript(std::move(node));
    } else if (tokens_.is_operator("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

Ptr TemplateExpressionParser::subscript(Ptr node) {
  Ptr parts[3];
  int colons = 0;
  while (!tokens_.take_operator("]")) {
    if (tokens_.take_operator(":")) {
      if (++colons > 2) tokens_.fail("a slice has at most two ':'");
    } else if (parts[colons] || tokens_.is_operator(",")) {
      tokens_.fail("several indices are not supported");
    } else {
      parts[colons] = condition();
    }
  }
  if (colons == 0) {
    if (!parts[0]) tokens_.fail("an index is missing");
    return make(Kind::kItem, std::move(node), std::move(parts[0]));
  }
  Ptr slice = make(Kind::kSlice, std::move(node));
  for (Ptr& part : parts) add(*slice, std::move(part));
  return slice;
}

Ptr TemplateExpressionParser::call(Ptr node) {
  Ptr out = make(Kind::kCall, std::move(node));
  take_arguments(*out);
  return out;
}

void TemplateExpressionParser::take_arguments(TemplateExpression& node) {
  node.arguments = arguments();
  for (const Ptr& argument : node.arguments.positional) grow(node, argument);
  for (const auto& [name, argument] : node.arguments.named) grow(node, argument);
  grow(node, node.arguments.all_positional);
  grow(node, node.arguments.all_named);
}

TemplateArguments TemplateExpressionParser::arguments() {
  TemplateArguments out;
  tokens_.expect_operator("(");
  bool first = true;
  while (!tokens_.take_operator(")")) {
    if (!first) {
      tokens_.expect_operator(",");
      if (tokens_.take_operator(")")) break;
    }
    first = false;
    if (tokens_.take_operator("**")) {
      if (out.all_named) tokens_.fail("'**' is given twice");
      out.all_named = condition();
    } else if (tokens_.take_operator("*")) {
      if (out.all_positional || out.all_named) tokens_.fail("'*' is given twice or behind '**'");
      out.all_positional = condition();
    } else if (tokens_.is(Token::kName) && tokens_.next().kind == Token::kOperator &&
               tokens_.next().text == "=") {
      if (out.all_named) tokens_.fail("an argument follows '**'");
      std::string name = tokens_.take().text;
      tokens_.take();
      out.named.emplace_back(std::move(name), condition());
    } else {
      if (!out.named.empty() || out.all_named || out.all_positional)
        tokens_.fail("an argument without a name follows one with it");
      out.positional.push_back(condition());
    }
  }
  return out;
}

Ptr TemplateExpressionParser::filters_and_tests(Ptr node) {
  while (true) {
    if (tokens_.is_operator("|"))
      node = filters(std::move(node));
    else if (tokens_.is_name("is"))
      node = test(std::move(node));
    else if (tokens_.is_operator("("))
      node = call(std::move(node));
    else
      return node;
  }
}

Ptr TemplateExpressionParser::filters(Ptr node, bool starts_inline) {
  while (tokens_.is_operator("|") || starts_inline) {
    if (!starts_inline) tokens_.take();
    starts_inline = false;
    Ptr filter = make(Kind::kFilter);
    add(*filter, std::move(node));
    filter->name = tokens_.name("a filter's name");
    if (tokens_.is_operator("(")) take_arguments(*filter);
    node = std::move(filter);
  }
  return node;
}

Ptr TemplateExpressionParser::test(Ptr node) {
  tokens_.expect_name("is");
  const bool negated = tokens_.take_name("not");
  Ptr out = make(Kind::kTest, std::move(node));
  out->name = tokens_.name("a test's name");
  const TemplateToken& token = tokens_.current();
  const bool begins_value = token.kind == Token::kString || token.kind == Token::kInteger ||
                            token.kind == Token::kFloat || tokens_.is_operator("[") ||
                            tokens_.is_operator("{");
  const bool begins_name =
      token.kind == Token::kName && token.text != "else" && token.text != "or" && token.text != "and";
  if (tokens_.is_operator("(")) {
    take_arguments(*out);
  } else if (begins_value || begins_name) {
    if (tokens_.is_name("is")) tokens_.fail("tests cannot be chained with 'is'");
    out->arguments.positional.push_back(postfix(primary()));
    grow(*out, out->arguments.positional.back());
  }
  return negated ? make(Kind::kNot, std::move(out)) : std::move(out);
}

}  // namespace deepspeed::text
