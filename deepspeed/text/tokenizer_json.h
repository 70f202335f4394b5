// The parts of a tokenizer.json, each read into its place of the pipeline. An Error names the place and what
// it asks for.
#pragma once

#include "deepspeed/text/json_view.h"
#include "deepspeed/text/pipeline.h"

namespace deepspeed::text {

constexpr int kMaxDepthOfSteps = 16;

[[noreturn]] void refuse(const JsonView& view, std::string_view what);
std::string type_of(const JsonView& view);
/// {"String": text} or {"Regex": pattern}.
Matcher read_matcher(const JsonView& view);
/// A string of one character.
uint32_t read_character(const JsonView& view);
PrependScheme read_prepend_scheme(const JsonView& metaspace);

/// `byte_level`: what a BPE model starts from.
std::unique_ptr<const Model> read_model(const JsonView& view, bool byte_level);
void read_normalizer(const JsonView& view, std::vector<NormalizerStep>& steps, int depth = 0);
void read_pre_tokenizer(const JsonView& view, std::vector<PreTokenizerStep>& steps, int depth = 0);
/// Needs the model and the added tokens.
void read_post_processor(const JsonView& view, Pipeline& pipeline, int depth = 0);
void read_decoder(const JsonView& view, std::vector<DecoderStep>& steps, int depth = 0);
std::optional<Truncation> read_truncation(const JsonView& view);
std::optional<Padding> read_padding(const JsonView& view);

}  // namespace deepspeed::text
