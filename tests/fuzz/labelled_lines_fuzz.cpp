// Any bytes as labelled training data, .jsonl and .tsv: every line is read, or one line says which and why
// not. What is read is valid UTF-8 and as long as it claims.
#include <cstdlib>
#include <string_view>

#include "deepspeed/base/error.h"
#include "deepspeed/text/labelled_lines.h"
#include "deepspeed/text/utf8.h"

namespace text = deepspeed::text;

namespace {

void check(const text::LabelledLine& line) {
  if (const auto* texts = std::get_if<text::LabelledText>(&line)) {
    for (const std::string& part : {texts->text, texts->pair.value_or("")})
      if (text::find_invalid_utf8(part) != std::string_view::npos) std::abort();
    return;
  }
  const auto& tokens = std::get<text::LabelledTokens>(line);
  if (tokens.ids.empty() || (!tokens.token_types.empty() && tokens.token_types.size() != tokens.ids.size()))
    std::abort();
  const auto* labels = std::get_if<std::vector<int64_t>>(&tokens.labels);
  if (labels != nullptr && labels->size() != tokens.ids.size()) std::abort();
}

template <class Read>
void attempt(Read&& read) {
  try {
    size_t last = 0;
    read([&](size_t line, const text::LabelledLine& example) {
      if (line <= last) std::abort();
      last = line;
      check(example);
    });
  } catch (const deepspeed::base::Error& error) {
    if (std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view content(reinterpret_cast<const char*>(data), size);
  attempt([&](const auto& each) { text::read_labelled_json_lines(content, "fuzz.jsonl", "text", each); });
  attempt([&](const auto& each) { text::read_labelled_table(content, "fuzz.tsv", each); });
  text::holds_tokens(content);
  return 0;
}
