#include <map>

#include "deepspeed/text/tokenizer_json.h"

namespace deepspeed::text {
namespace {

BertNormalizerStep read_bert_normalizer(const JsonView& view) {
  BertNormalizerStep step;
  step.clean_text = view.boolean_or("clean_text", true);
  step.handle_chinese_chars = view.boolean_or("handle_chinese_chars", true);
  step.lowercase = view.boolean_or("lowercase", true);
  step.strip_accents = view.boolean_or("strip_accents", step.lowercase);
  return step;
}

CharsMapStep read_chars_map(const JsonView& view) {
  const JsonView map = view.at("precompiled_charsmap");
  return {std::make_shared<const CharsMap>(decode_base64(map.text(), map.where()), map.where())};
}

using Reader = NormalizerStep (*)(const JsonView&);

const std::map<std::string, Reader>& readers() {
  static const std::map<std::string, Reader> table = {
      {"NFC", [](const JsonView&) -> NormalizerStep { return FormStep{NormalizationForm::kC}; }},
      {"NFD", [](const JsonView&) -> NormalizerStep { return FormStep{NormalizationForm::kD}; }},
      {"NFKC", [](const JsonView&) -> NormalizerStep { return FormStep{NormalizationForm::kKC}; }},
      {"NFKD", [](const JsonView&) -> NormalizerStep { return FormStep{NormalizationForm::kKD}; }},
      {"Lowercase", [](const JsonView&) -> NormalizerStep { return LowercaseStep{}; }},
      {"StripAccents", [](const JsonView&) -> NormalizerStep { return StripMarksStep{}; }},
      {"Nmt", [](const JsonView&) -> NormalizerStep { return NmtStep{}; }},
      {"Strip",
       [](const JsonView& view) -> NormalizerStep {
         return StripStep{view.at("strip_left").boolean(), view.at("strip_right").boolean()};
       }},
      {"Prepend",
       [](const JsonView& view) -> NormalizerStep { return PrependStep{view.at("prepend").text()}; }},
      {"Replace",
       [](const JsonView& view) -> NormalizerStep {
         return ReplaceStep{read_matcher(view.at("pattern")), view.at("content").text()};
       }},
      {"Precompiled", [](const JsonView& view) -> NormalizerStep { return read_chars_map(view); }},
      {"BertNormalizer", [](const JsonView& view) -> NormalizerStep { return read_bert_normalizer(view); }},
  };
  return table;
}

}  // namespace

void read_normalizer(const JsonView& view, std::vector<NormalizerStep>& steps, int depth) {
  if (view.is_null()) return;
  const std::string type = type_of(view);
  if (const auto reader = readers().find(type); reader != readers().end()) {
    steps.push_back(reader->second(view));
  } else if (type == "Sequence" && depth < kMaxDepthOfSteps) {
    const JsonView parts = view.at("normalizers");
    for (size_t i = 0; i < parts.array_size(); ++i) read_normalizer(parts.at(i), steps, depth + 1);
  } else {
    refuse(view, "normalizer " + quote(type));
  }
}

}  // namespace deepspeed::text
