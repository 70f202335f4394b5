#include <map>

#include "deepspeed/text/tokenizer_json.h"

namespace deepspeed::text {
namespace {

SplitBehavior read_behavior(const JsonView& view) {
  static const std::map<std::string, SplitBehavior> names = {
      {"Removed", SplitBehavior::kRemoved},
      {"Isolated", SplitBehavior::kIsolated},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous}};
  const auto found = names.find(view.text());
  DS_CHECK(found != names.end(),
           "{} must be Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous, not {}",
           view.where(), quote(view.text()));
  return found->second;
}

SplitStep read_split(const JsonView& view) {
  const JsonView pattern = view.at("pattern");
  if (pattern.has("String"))
    DS_CHECK(!pattern.at("String").text().empty(), "{}: the text to split at is empty",
             pattern.at("String").where());
  return {read_matcher(pattern), read_behavior(view.at("behavior")), view.at("invert").boolean()};
}

ByteLevelStep read_byte_level(const JsonView& view) {
  ByteLevelStep step{view.at("add_prefix_space").boolean(), {}};
  if (view.boolean_or("use_regex", true)) step.pattern.emplace(kGpt2Pattern, view.where());
  return step;
}

MetaspaceStep read_metaspace(const JsonView& view) {
  const JsonView replacement = view.at("replacement");
  read_character(replacement);
  return {replacement.text(), read_prepend_scheme(view), view.boolean_or("split", true)};
}

PunctuationStep read_punctuation(const JsonView& view) {
  return {view.has("behavior") ? read_behavior(view.at("behavior")) : SplitBehavior::kIsolated};
}

using Reader = PreTokenizerStep (*)(const JsonView&);

const std::map<std::string, Reader>& readers() {
  static const std::map<std::string, Reader> table = {
      {"ByteLevel", [](const JsonView& view) -> PreTokenizerStep { return read_byte_level(view); }},
      {"Split", [](const JsonView& view) -> PreTokenizerStep { return read_split(view); }},
      {"Digits",
       [](const JsonView& view) -> PreTokenizerStep {
         return DigitsStep{view.at("individual_digits").boolean()};
       }},
      {"Metaspace", [](const JsonView& view) -> PreTokenizerStep { return read_metaspace(view); }},
      {"Punctuation", [](const JsonView& view) -> PreTokenizerStep { return read_punctuation(view); }},
      {"CharDelimiterSplit",
       [](const JsonView& view) -> PreTokenizerStep {
         return DelimiterStep{read_character(view.at("delimiter"))};
       }},
      {"Whitespace", [](const JsonView&) -> PreTokenizerStep { return WordsStep{}; }},
      {"WhitespaceSplit", [](const JsonView&) -> PreTokenizerStep { return WhiteSpaceStep{}; }},
      {"BertPreTokenizer", [](const JsonView&) -> PreTokenizerStep { return BertSplitStep{}; }},
  };
  return table;
}

}  // namespace

PrependScheme read_prepend_scheme(const JsonView& metaspace) {
  if (!metaspace.boolean_or("add_prefix_space", true)) return PrependScheme::kNever;
  if (!metaspace.has("prepend_scheme")) return PrependScheme::kAlways;
  const JsonView scheme = metaspace.at("prepend_scheme");
  if (scheme.text() == "always") return PrependScheme::kAlways;
  if (scheme.text() == "first") return PrependScheme::kFirst;
  DS_CHECK(scheme.text() == "never", "{} must be first, never or always, not {}", scheme.where(),
           quote(scheme.text()));
  return PrependScheme::kNever;
}

void read_pre_tokenizer(const JsonView& view, std::vector<PreTokenizerStep>& steps, int depth) {
  if (view.is_null()) return;
  const std::string type = type_of(view);
  if (const auto reader = readers().find(type); reader != readers().end()) {
    for (PreTokenizerStep& step : steps)
      if (auto* byte_level = std::get_if<ByteLevelStep>(&step)) byte_level->writes_characters = true;
    steps.push_back(reader->second(view));
  } else if (type == "Sequence" && depth < kMaxDepthOfSteps) {
    const JsonView parts = view.at("pretokenizers");
    for (size_t i = 0; i < parts.array_size(); ++i) read_pre_tokenizer(parts.at(i), steps, depth + 1);
  } else {
    refuse(view, "pre_tokenizer " + quote(type));
  }
}

}  // namespace deepspeed::text
