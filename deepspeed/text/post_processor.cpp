#include "deepspeed/text/post_processor.h"

#include <algorithm>

#include "deepspeed/text/code_point_set.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

constexpr uint32_t kByteCharacterOfSpace = 0x120;

bool is_space(uint32_t c) { return c == kByteCharacterOfSpace || is_white_space(c); }

void trim_offsets(const TrimOffsetsStep& step, Encoding& encoding) {
  for (size_t i = 0; i < encoding.tokens.size(); ++i) {
    const std::string& token = encoding.tokens[i];
    auto& [begin, end] = encoding.offsets[i];
    size_t leading = 0, trailing = 0;
    for (size_t at = 0; at < token.size() && is_space(next_code_point(token, at));) ++leading;
    for (size_t at = token.size(); at > 0 && is_space(previous_code_point(token, at));) ++trailing;
    if ((i == 0 || begin == 0) && step.add_prefix_space && leading == 1) leading = 0;
    begin = std::min(begin + leading, end);
    if (trailing > 0 && end >= trailing) end = std::max(end - trailing, begin);
  }
  for (Encoding& other : encoding.overflowing) trim_offsets(step, other);
}

std::vector<Encoding> apply_template(const TemplateStep& step, std::vector<Encoding>& texts,
                                     bool add_special_tokens) {
  const auto& parts = texts.size() == 2 ? step.pair : step.single;
  std::vector<Encoding> out;
  for (const TemplateStep::Part& part : parts) {
    if (part.sequence >= 0) {
      Encoding& text = texts[static_cast<size_t>(part.sequence)];
      text.type_ids.assign(text.size(), part.type_id);
      if (step.types_overflow && add_special_tokens)
        for (Encoding& other : text.overflowing) other.type_ids.assign(other.size(), part.type_id);
      out.push_back(text);
    } else if (add_special_tokens) {
      const size_t count = part.ids.size();
      out.push_back({part.ids,
                     part.tokens,
                     std::vector<std::pair<size_t, size_t>>(count),
                     std::vector<int32_t>(count, part.type_id),
                     std::vector<uint8_t>(count, 1),
                     std::vector<uint8_t>(count, 1),
                     std::vector<int32_t>(count, -1),
                     std::vector<int32_t>(count, -1),
                     {}});
    }
  }
  return out;
}

}  // namespace

size_t added_tokens(const std::vector<PostProcessorStep>& steps, bool is_pair) {
  size_t count = 0;
  for (const PostProcessorStep& step : steps)
    if (const auto* tokens = std::get_if<TemplateStep>(&step))
      for (const TemplateStep::Part& part : is_pair ? tokens->pair : tokens->single) count += part.ids.size();
  return count;
}

Encoding post_process(const std::vector<PostProcessorStep>& steps, std::vector<Encoding> texts,
                      bool add_special_tokens) {
  for (const PostProcessorStep& step : steps) {
    if (const auto* trim = std::get_if<TrimOffsetsStep>(&step)) {
      for (Encoding& text : texts) trim_offsets(*trim, text);
    } else {
      texts = apply_template(std::get<TemplateStep>(step), texts, add_special_tokens);
    }
  }
  if (texts.empty()) return {};
  Encoding out = std::move(texts.front());
  for (size_t i = 1; i < texts.size(); ++i) append(out, texts[i]);
  return out;
}

}  // namespace deepspeed::text
