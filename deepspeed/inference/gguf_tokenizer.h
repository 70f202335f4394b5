// Tokenizers, chat templates, generation defaults and pooling in GGUF metadata. Torch-free.
#pragma once

#include <optional>
#include <string>

#include "deepspeed/config/json.h"
#include "deepspeed/formats/gguf_metadata.h"
#include "deepspeed/text/chat_template.h"
#include "deepspeed/text/tokenizer.h"

namespace deepspeed::inference {

/// Of tokenizer.ggml.*; nothing where the file has no vocabulary. `name` stands for the file in errors.
std::optional<text::Tokenizer> gguf_tokenizer(const formats::GgufMetadata& metadata, const std::string& name);
/// tokenizer.chat_template.
std::optional<text::ChatTemplate> gguf_chat_template(const formats::GgufMetadata& metadata,
                                                     const std::string& name);
/// The special tokens that templates speak of: {"bos_token": "<s>", ...}.
config::Json gguf_special_tokens(const formats::GgufMetadata& metadata);
/// Which tokens begin and end, as generation_config.json would say.
config::Json gguf_generation_defaults(const formats::GgufMetadata& metadata);
/// How an encoder's vectors of tokens become one of the text, by the name that parse_pooling knows; nothing
/// where the file does not say, or says that they do not.
std::optional<std::string> gguf_pooling(const formats::GgufMetadata& metadata);

}  // namespace deepspeed::inference
