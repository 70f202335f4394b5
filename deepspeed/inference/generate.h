// Text from a decoder, alone or behind an encoder: batches of requests of any kind and length over one
// key-value cache.
#pragma once

#include <vector>

#include "deepspeed/inference/answer.h"
#include "deepspeed/inference/generation_config.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/models/encoder_decoder.h"
#include "deepspeed/text/tokenizer.h"

namespace deepspeed::inference {

struct Request {
  std::vector<int32_t> prompt;  // not empty
  GenerationConfig config{};
};

struct GenerateOptions {
  const text::Tokenizer* tokenizer =
      nullptr;  // without it answers have no text, and stop strings are refused
  Listener listener{};
};

/// Answers the requests, in their order. Each has its own configuration; the answer to one depends neither on
/// the others nor on its place among them, except that the model's matrix products may round otherwise in
/// another batch: a token can differ where the two best scores are equal to within that.
///
/// Prompts of different lengths are padded on the left, where nothing sees the padding, and positions count
/// from each prompt's start. Rows of sequences that have ended are dropped. A sequence ends at the model's
/// last position at the latest. Switches the model to evaluation mode for the duration. Errors, before
/// anything is computed: base::Error that names the request, for prompts that are empty, too long or outside
/// the vocabulary, and for configurations that do not fit the model.
std::vector<Answer> generate(models::Decoder& model, const std::vector<Request>& requests,
                             const GenerateOptions& options = {});

/// The same of a model with an encoder, which reads the prompts, each once; the decoder's answers start after
/// GenerationConfig::decoder_start_token_id, which counts in lengths as transformers counts it. Error:
/// `echo`, since an answer does not go on from its prompt.
std::vector<Answer> generate(models::EncoderDecoder& model, const std::vector<Request>& requests,
                             const GenerateOptions& options = {});

}  // namespace deepspeed::inference
