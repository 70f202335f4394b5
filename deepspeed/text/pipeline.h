// Everything a tokenizer.json says, ready to run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "deepspeed/text/added_tokens.h"
#include "deepspeed/text/bpe_model.h"
#include "deepspeed/text/pre_tokenizer.h"

namespace deepspeed::text {

/// ByteLevel with trim_offsets: offsets leave out the spaces at a token's ends.
struct TrimOffsetsStep {
  bool add_prefix_space;  // then a lone leading space of the first token is not the text's own
};

/// TemplateProcessing for a single sequence.
struct TemplateStep {
  struct Part {
    bool is_sequence;  // else these tokens
    std::vector<int32_t> ids;
    std::vector<std::string> tokens;
  };
  std::vector<Part> parts;
};

using PostProcessorStep = std::variant<TrimOffsetsStep, TemplateStep>;

struct Pipeline {
  std::string name;  // the file, for errors
  bool normalize_nfc = false;
  BpeModel model;
  AddedTokens added;
  std::vector<PreTokenizerStep> pre_tokenizer;
  std::vector<PostProcessorStep> post_processor;
  bool byte_level_decoder = false;  // else tokens are joined by spaces
};

/// An Error that says where in `name` the text is malformed, or what in it is not supported.
Pipeline read_tokenizer_json(std::string_view json, const std::string& name);

}  // namespace deepspeed::text
