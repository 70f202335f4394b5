// The tokens of a chat template, as Jinja cuts it with trim_blocks and lstrip_blocks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace deepspeed::text {

struct TemplateToken {
  enum class Kind {
    kData,
    kBlockBegin,
    kBlockEnd,
    kVariableBegin,
    kVariableEnd,
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd
  };
  Kind kind;
  std::string text;  // of a string its value, of data what is left of it
  int line;
  int64_t integer = 0;
  double number = 0;
};

/// An Error names the template and the line.
std::vector<TemplateToken> cut_template(std::string_view source, const std::string& name);
[[noreturn]] void fail_template(const std::string& name, int line, std::string_view what);

}  // namespace deepspeed::text
