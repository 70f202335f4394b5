#include "deepspeed/config/field.h"

#include "deepspeed/base/error.h"

namespace deepspeed::config {

Field deprecated_field(std::string key, std::string type, std::string replacement, std::string doc,
                       std::function<std::optional<Json>(const Json& value)> convert) {
  Field field(std::move(key), std::move(type), nullptr);
  field.doc_line = std::move(doc);
  field.deprecated = true;
  field.replacement = std::move(replacement);
  field.convert = std::move(convert);
  bool flag = field.type == "bool";
  field.read = [flag](const Node& node, void*, const Rules& rules, Warnings&) {
    if (flag) read_bool(node, rules);
  };
  return field;
}

std::string join_choices(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, " | "));
}

const std::vector<std::pair<std::string, DataType>>& data_type_names() {
  static const std::vector<std::pair<std::string, DataType>> kNames{
      {"fp32", DataType::kFp32},           {"fp16", DataType::kFp16},
      {"bf16", DataType::kBf16},           {"float32", DataType::kFp32},
      {"float16", DataType::kFp16},        {"bfloat16", DataType::kBf16},
      {"float", DataType::kFp32},          {"half", DataType::kFp16},
      {"torch.float32", DataType::kFp32},  {"torch.float16", DataType::kFp16},
      {"torch.bfloat16", DataType::kBf16}, {"torch.half", DataType::kFp16}};
  return kNames;
}

}  // namespace deepspeed::config
