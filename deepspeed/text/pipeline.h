// Everything a tokenizer.json says, ready to run.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/text/added_tokens.h"
#include "deepspeed/text/decoder.h"
#include "deepspeed/text/encoding.h"
#include "deepspeed/text/model.h"
#include "deepspeed/text/normalizer.h"
#include "deepspeed/text/post_processor.h"
#include "deepspeed/text/pre_tokenizer.h"

namespace deepspeed::text {

struct Pipeline {
  std::string name;  // the file, for errors
  std::vector<NormalizerStep> normalizer;
  std::unique_ptr<const Model> model;
  AddedTokens added;
  std::vector<PreTokenizerStep> pre_tokenizer;
  std::vector<PostProcessorStep> post_processor;
  std::vector<DecoderStep> decoder{SpacesDecoder{}};
  std::optional<Truncation> truncation;
  std::optional<Padding> padding;

  /// The token that decoding shows for the id; null when it shows none.
  const std::string* decoded_token(int32_t id, bool skip_special_tokens) const;
};

/// An Error that says where in `name` the text is malformed, or what in it is not supported.
Pipeline read_tokenizer_json(std::string_view json, const std::string& name);
/// Puts a MarkerCutStep behind the pre-tokenizer where that changes no token.
void cut_before_markers(Pipeline& pipeline);

}  // namespace deepspeed::text
