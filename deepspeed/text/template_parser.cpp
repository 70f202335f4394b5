// Jinja's grammar: statements here, expressions in template_expression_parser.cpp.
#include "deepspeed/text/template_parser.h"

#include "deepspeed/base/error.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

using Kind = TemplateToken::Kind;
using Statement = TemplateStatement;

class StatementParser {
 public:
  explicit StatementParser(TemplateTokens& tokens) : tokens_(tokens), expressions_(tokens) {}

  /// Up to a tag of one of the names, which is left to be read, or the end where there are none.
  TemplateStatements statements(std::initializer_list<std::string_view> ends) {
    const TemplateDepth depth(tokens_);
    TemplateStatements out;
    while (!tokens_.is(Kind::kEnd)) {
      const TemplateToken& token = tokens_.current();
      if (token.kind == Kind::kData) {
        Statement data = make(Statement::Kind::kData);
        data.text = tokens_.take().text;
        out.push_back(std::move(data));
      } else if (token.kind == Kind::kVariableBegin) {
        Statement output = make(Statement::Kind::kOutput);
        tokens_.take();
        output.expression = expressions_.with_tuple();
        tokens_.expect(Kind::kVariableEnd, "'}}'");
        out.push_back(std::move(output));
      } else {
        tokens_.expect(Kind::kBlockBegin, "a tag");
        for (const std::string_view end : ends)
          if (tokens_.is_name(end)) return out;
        out.push_back(tag());
      }
    }
    if (ends.size() > 0) tokens_.fail("the template ends before '" + std::string(*(ends.end() - 1)) + "'");
    return out;
  }

 private:
  Statement make(Statement::Kind kind) const {
    return {kind, tokens_.current().line, "", {}, nullptr, nullptr, {}, {}, {}};
  }
  void end_tag() { tokens_.expect(Kind::kBlockEnd, "'%}'"); }
  void end_of(std::string_view name) {
    tokens_.expect_name(name);
    end_tag();
  }

  Statement tag() {
    const std::string name = tokens_.name("a tag's name");
    if (name == "if") return condition();
    if (name == "for") return loop();
    if (name == "set") return assignment();
    if (name == "macro") return macro();
    if (name == "call") return call();
    if (name == "with") return with();
    if (name == "filter") return filter();
    if (name == "generation") return generation();
    if (name == "break" || name == "continue") {
      if (loops_ == 0) tokens_.fail("'" + name + "' outside of a loop");
      Statement out = make(name == "break" ? Statement::Kind::kBreak : Statement::Kind::kContinue);
      end_tag();
      return out;
    }
    tokens_.fail("the tag " + quote(name) + " is not supported");
  }

  Statement condition() {
    Statement out = make(Statement::Kind::kIf);
    out.expression = expressions_.with_tuple(/*with_condition=*/false);
    end_tag();
    out.body = statements({"elif", "else", "endif"});
    const std::string next = tokens_.name("a tag's name");
    if (next == "elif") {
      const TemplateDepth depth(tokens_);
      out.otherwise.push_back(condition());
      return out;
    }
    end_tag();
    if (next == "endif") return out;
    out.otherwise = statements({"endif"});
    end_of("endif");
    return out;
  }

  Statement loop() {
    Statement out = make(Statement::Kind::kFor);
    out.target = names();
    tokens_.expect_name("in");
    out.expression = expressions_.with_tuple(/*with_condition=*/false);
    if (tokens_.take_name("if")) out.condition = expressions_.condition();
    if (tokens_.is_name("recursive")) tokens_.fail("a recursive loop is not supported");
    end_tag();
    ++loops_;
    out.body = statements({"else", "endfor"});
    --loops_;
    if (tokens_.take_name("else")) {
      end_tag();
      out.otherwise = statements({"endfor"});
    }
    end_of("endfor");
    return out;
  }

  std::string assigned_name() {
    const std::string name = tokens_.name("a name");
    for (const char* constant : {"true", "false", "none", "True", "False", "None"})
      if (name == constant) tokens_.fail("'" + name + "' cannot be assigned to");
    return name;
  }

  // a, b  or  (a, b)
  TemplateTarget names() {
    TemplateTarget out;
    const bool brackets = tokens_.take_operator("(");
    bool sequence = brackets;
    do {
      if (tokens_.is_operator("(")) tokens_.fail("names within names are not supported");
      if (!out.names.empty() &&
          (tokens_.is_name("in") || tokens_.is_operator("=") || tokens_.is_operator(")")))
        break;
      out.names.push_back(assigned_name());
      sequence = sequence || tokens_.is_operator(",");
    } while (tokens_.take_operator(","));
    if (brackets) tokens_.expect_operator(")");
    if (sequence && out.names.size() == 1) tokens_.fail("a sequence of one name is not supported");
    return out;
  }

  Statement assignment() {
    Statement out = make(Statement::Kind::kSet);
    out.target = names();
    if (out.target.names.size() == 1 && tokens_.take_operator("."))
      out.target.attribute = tokens_.name("an attribute");
    if (tokens_.take_operator("=")) {
      out.expression = expressions_.with_tuple();
      end_tag();
      return out;
    }
    out.kind = Statement::Kind::kSetBlock;
    if (out.target.names.size() != 1) tokens_.fail("a block is assigned to one name");
    if (tokens_.is_operator("|")) out.expression = expressions_.filters(nullptr);
    end_tag();
    const int loops = std::exchange(loops_, 0);
    out.body = statements({"endset"});
    loops_ = loops;
    end_of("endset");
    return out;
  }

  std::vector<TemplateParameter> parameters() {
    std::vector<TemplateParameter> out;
    tokens_.expect_operator("(");
    while (!tokens_.take_operator(")")) {
      if (!out.empty()) {
        tokens_.expect_operator(",");
        if (tokens_.take_operator(")")) break;
      }
      TemplateParameter parameter{assigned_name(), nullptr};
      if (tokens_.take_operator("="))
        parameter.otherwise = expressions_.condition();
      else if (!out.empty() && out.back().otherwise)
        tokens_.fail("a parameter without a default follows one with it");
      out.push_back(std::move(parameter));
    }
    return out;
  }

  Statement macro() {
    Statement out = make(Statement::Kind::kMacro);
    out.text = assigned_name();
    out.parameters = parameters();
    end_tag();
    inner(out, "endmacro");
    return out;
  }

  // A body that is run on its own: no break leaves it.
  void inner(Statement& out, std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    out.body = statements({end});
    loops_ = loops;
    end_of(end);
  }

  Statement call() {
    Statement out = make(Statement::Kind::kCall);
    if (tokens_.is_operator("(")) out.parameters = parameters();
    out.expression = expressions_.condition();
    if (out.expression->kind != TemplateExpression::Kind::kCall) tokens_.fail("'call' needs a call");
    end_tag();
    inner(out, "endcall");
    return out;
  }

  Statement with() {
    Statement out = make(Statement::Kind::kWith);
    while (!tokens_.is(Kind::kBlockEnd)) {
      if (!out.parameters.empty()) tokens_.expect_operator(",");
      TemplateParameter parameter{assigned_name(), nullptr};
      tokens_.expect_operator("=");
      parameter.otherwise = expressions_.condition();
      out.parameters.push_back(std::move(parameter));
    }
    end_tag();
    out.body = statements({"endwith"});
    end_of("endwith");
    return out;
  }

  Statement filter() {
    Statement out = make(Statement::Kind::kFilter);
    out.expression = expressions_.filters(nullptr, /*starts_inline=*/true);
    end_tag();
    inner(out, "endfilter");
    return out;
  }

  Statement generation() {
    Statement out = make(Statement::Kind::kGeneration);
    end_tag();
    inner(out, "endgeneration");
    return out;
  }

  TemplateTokens& tokens_;
  TemplateExpressionParser expressions_;
  int loops_ = 0;
};

}  // namespace

TemplateStatements parse_template(std::string_view source, const std::string& name) {
  DS_CHECK(source.size() <= kMaxTemplateBytes, "{}: a template of {} bytes is more than {}", name,
           source.size(), kMaxTemplateBytes);
  TemplateTokens tokens(cut_template(source, name), name);
  return StatementParser(tokens).statements({});
}

}  // namespace deepspeed::text
