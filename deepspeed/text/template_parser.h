// What the two halves of the parser of chat templates share. Private to template_*parser.cpp.
#pragma once

#include "deepspeed/text/template_lexer.h"
#include "deepspeed/text/template_syntax.h"

namespace deepspeed::text {

constexpr size_t kMaxTemplateBytes = size_t{1} << 20;
constexpr int kMaxTemplateDepth = 100, kMaxTemplateHeight = 200;

/// The tokens, one after the other. Whatever is not as expected is an Error with the line.
class TemplateTokens {
 public:
  TemplateTokens(std::vector<TemplateToken> tokens, const std::string& name)
      : tokens_(std::move(tokens)), name_(name) {}

  const TemplateToken& current() const { return tokens_[at_]; }
  const TemplateToken& next() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  const TemplateToken& take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool is(TemplateToken::Kind kind) const { return current().kind == kind; }
  bool is_name(std::string_view text) const {
    return is(TemplateToken::Kind::kName) && current().text == text;
  }
  bool is_operator(std::string_view text) const {
    return is(TemplateToken::Kind::kOperator) && current().text == text;
  }
  bool take_name(std::string_view text);
  bool take_operator(std::string_view text);
  void expect(TemplateToken::Kind kind, std::string_view what);
  void expect_name(std::string_view text);
  void expect_operator(std::string_view text);
  /// A name, which is taken.
  std::string name(std::string_view what);
  [[noreturn]] void fail(std::string_view what) const;

 private:
  friend class TemplateDepth;
  std::vector<TemplateToken> tokens_;
  const std::string& name_;
  size_t at_ = 0;
  int depth_ = 0;
};

/// One more level of nesting while it lives; too many are an Error.
class TemplateDepth {
 public:
  explicit TemplateDepth(TemplateTokens& tokens) : tokens_(tokens) {
    if (++tokens_.depth_ > kMaxTemplateDepth) tokens_.fail("too much nesting");
  }
  ~TemplateDepth() { --tokens_.depth_; }
  TemplateDepth(const TemplateDepth&) = delete;
  TemplateDepth& operator=(const TemplateDepth&) = delete;

 private:
  TemplateTokens& tokens_;
};

class TemplateExpressionParser {
 public:
  explicit TemplateExpressionParser(TemplateTokens& tokens) : tokens_(tokens) {}

  /// An expression, or several with commas between them, which are a tuple.
  TemplateExpressionPtr with_tuple(bool with_condition = true);
  /// a if b else c
  TemplateExpressionPtr condition();
  TemplateExpressionPtr unary(bool with_filter = true);
  /// `node` | name(...) | ...; a block's filters have no node. `starts_inline`: the first '|' is left out.
  TemplateExpressionPtr filters(TemplateExpressionPtr node, bool starts_inline = false);

 private:
  TemplateExpressionPtr either();
  TemplateExpressionPtr both();
  TemplateExpressionPtr negation();
  TemplateExpressionPtr comparison();
  TemplateExpressionPtr sum();
  TemplateExpressionPtr concatenation();
  TemplateExpressionPtr product();
  TemplateExpressionPtr power();
  TemplateExpressionPtr primary();
  TemplateExpressionPtr named();
  TemplateExpressionPtr bracketed();
  TemplateExpressionPtr list();
  TemplateExpressionPtr dict();
  TemplateExpressionPtr postfix(TemplateExpressionPtr node);
  TemplateExpressionPtr subscript(TemplateExpressionPtr node);
  TemplateExpressionPtr filters_and_tests(TemplateExpressionPtr node);
  TemplateExpressionPtr test(TemplateExpressionPtr node);
  TemplateExpressionPtr call(TemplateExpressionPtr node);
  TemplateArguments arguments();
  void take_arguments(TemplateExpression& node);
  /// `child` may be null.
  void add(TemplateExpression& node, TemplateExpressionPtr child) const;
  void grow(TemplateExpression& node, const TemplateExpressionPtr& child) const;
  TemplateExpressionPtr make(TemplateExpression::Kind kind, TemplateExpressionPtr first = nullptr,
                             TemplateExpressionPtr second = nullptr) const;

  TemplateTokens& tokens_;
};

}  // namespace deepspeed::text
