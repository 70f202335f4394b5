// Post-processors: the tokens around one text or a pair of texts.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "deepspeed/text/encoding.h"

namespace deepspeed::text {

/// ByteLevel with trim_offsets: offsets leave out the spaces at a token's ends.
struct TrimOffsetsStep {
  bool add_prefix_space;  // then a lone leading space of the first token is not the text's own
};

/// TemplateProcessing; BertProcessing and RobertaProcessing are templates, too.
struct TemplateStep {
  struct Part {
    int sequence = -1;  // 0: the first text, 1: the second; else these tokens
    int32_t type_id = 0;
    std::vector<int32_t> ids;
    std::vector<std::string> tokens;
  };
  std::vector<Part> single, pair;
  bool types_overflow = false;  // what truncation has cut off gets the parts' types, too
};

using PostProcessorStep = std::variant<TrimOffsetsStep, TemplateStep>;

/// How many tokens the steps add.
size_t added_tokens(const std::vector<PostProcessorStep>& steps, bool is_pair);
/// One or two texts, made one encoding.
Encoding post_process(const std::vector<PostProcessorStep>& steps, std::vector<Encoding> texts,
                      bool add_special_tokens);

}  // namespace deepspeed::text
