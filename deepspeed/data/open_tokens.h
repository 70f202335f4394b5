// From a file a user names to a TokenStore: the format is found from name and content.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "deepspeed/data/token_store.h"
#include "deepspeed/text/tokenizer.h"

namespace deepspeed::data {

struct OpenOptions {
  int bytes_per_token = 2;          // of a plain .bin
  std::string text_field = "text";  // of .jsonl
  /// Called when the file holds text.
  std::function<const text::Tokenizer&()> tokenizer;
};

/// - NAME.txt: one text, tokenized into one document;
/// - NAME.jsonl: lines as text/json_lines.h reads them. A document's ids end with the tokenizer's end-of-text
///   token where it has one ("<|endoftext|>", "<|end_of_text|>", "</s>"); a pair's are the prompt's, the
///   response's (each tokenized alone, so that no token spans both) and that token, which is learnt too;
/// - NAME.bin: ids of `bytes_per_token`; Megatron's half where NAME.idx lies beside it;
/// - NAME.idx, or NAME where only NAME.bin and NAME.idx exist: a Megatron dataset.
/// Errors name the file, the line where there are lines, and what was expected.
TokenStorePtr open_tokens(const std::filesystem::path& path, const OpenOptions& options);

}  // namespace deepspeed::data
