// Tokenizers of model files that describe them by arrays, as GGUF's metadata does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/text/tokenizer.h"

namespace deepspeed::text {

/// What a token is, as GGUF numbers it.
enum class TokenType : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

/// tokenizer.ggml.* of a GGUF file.
struct TokenizerArrays {
  std::string name;   // the file, for errors
  std::string model;  // llama (SentencePiece BPE by scores), gpt2 (byte-level BPE), bert, t5 (Unigram)
  std::string pre;    // how gpt2 cuts text before merging; "" is "default"
  std::vector<std::string> tokens;   // by id
  std::vector<float> scores;         // of llama and t5
  std::vector<int32_t> types;        // TokenType; none: all are normal
  std::vector<std::string> merges;   // of gpt2: "left right", best first
  std::string precompiled_charsmap;  // of t5: bytes
  std::optional<int32_t> bos, eos, unknown, separator;
  std::optional<bool> add_bos, add_eos;  // else as the model has it
  std::optional<bool> add_separator;     // before the second text of a pair, in place of the first token
  std::optional<bool> add_space_prefix, remove_extra_whitespaces;
};

/// An Error names what is missing, contradictory or not supported. Byte-level vocabularies want `merges`, the
/// others `scores`, bert neither. bert takes a vocabulary without capitals for one of lower case.
Tokenizer make_tokenizer(TokenizerArrays arrays);
/// The values of `pre` that are understood.
std::vector<std::string> known_pre_tokenizers();

}  // namespace deepspeed::text
