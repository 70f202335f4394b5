// Everything a tokenizer.json says, ready to run.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "deepspeed/text/added_tokens.h"
#include "deepspeed/text/bert_normalizer.h"
#include "deepspeed/text/model.h"
#include "deepspeed/text/pre_tokenizer.h"

namespace deepspeed::text {

/// NFC.
struct NfcStep {};
using NormalizerStep = std::variant<NfcStep, BertNormalizerStep>;

/// `piece` through all steps. Text made on the way lives in `storage`.
Piece normalize(const std::vector<NormalizerStep>& steps, const Piece& piece, PieceStorage& storage);

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

/// How tokens become text again: one after the other, separated by spaces.
struct SpacesDecoder {};
/// ByteLevel: their bytes.
struct ByteLevelDecoder {};
/// WordPiece: spaces before tokens without the prefix, which goes; `cleanup` undoes spaces before punctuation
/// and in English contractions.
struct WordPieceDecoder {
  std::string prefix = "##";
  bool cleanup = true;
};
using Decoder = std::variant<SpacesDecoder, ByteLevelDecoder, WordPieceDecoder>;

struct Pipeline {
  std::string name;  // the file, for errors
  std::vector<NormalizerStep> normalizer;
  std::unique_ptr<const Model> model;
  AddedTokens added;
  std::vector<PreTokenizerStep> pre_tokenizer;
  std::vector<PostProcessorStep> post_processor;
  Decoder decoder;
};

/// An Error that says where in `name` the text is malformed, or what in it is not supported.
Pipeline read_tokenizer_json(std::string_view json, const std::string& name);

}  // namespace deepspeed::text
