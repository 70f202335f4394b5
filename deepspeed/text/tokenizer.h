// The tokenizers of Hugging Face's tokenizer.json, with the ids, offsets and decoded text of `tokenizers`
// 0.23.3. Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "deepspeed/text/encoding.h"

namespace deepspeed::text {

struct Pipeline;  // private to text/

struct EncodeOptions {
  bool add_special_tokens = true;  // whether the post-processor adds its tokens
  std::optional<Truncation> truncation;
  std::optional<Padding> padding;
};

/// A tokenizer read from tokenizer.json. Immutable: any number of threads may use one object.
///
/// Understood: models BPE (byte-level as GPT-2's and SentencePiece's with byte fallback), Unigram and
/// WordPiece; normalizers NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Replace, Prepend, Nmt,
/// Precompiled and BertNormalizer; pre-tokenizers ByteLevel, Metaspace, Split, Digits, Punctuation,
/// Whitespace, WhitespaceSplit, CharDelimiterSplit and BertPreTokenizer; post-processors TemplateProcessing,
/// BertProcessing, RobertaProcessing and ByteLevel; decoders ByteLevel, ByteFallback, Fuse, Strip, Replace,
/// Metaspace, WordPiece and BPEDecoder; Sequences of all of them; added tokens with every flag. Everything
/// else is an Error that names what the file asks for.
class Tokenizer {
 public:
  /// Reads the file; an Error names it and the place inside it.
  static Tokenizer from_file(const std::filesystem::path& tokenizer_json);
  /// `name` stands for the file in errors.
  static Tokenizer from_json(std::string_view json, const std::string& name);
  /// Of what another format describes (text/vocabulary_tokenizer.h).
  static Tokenizer from_pipeline(Pipeline pipeline);

  /// `utf8` must be valid UTF-8, else an Error that says at which byte it is not.
  Encoding encode(std::string_view utf8, bool add_special_tokens = true) const;
  Encoding encode(std::string_view utf8, const EncodeOptions& options) const;
  /// Two texts, as a question and its context.
  Encoding encode_pair(std::string_view first, std::string_view second,
                       const EncodeOptions& options = {}) const;
  /// Each text; padded together.
  std::vector<Encoding> encode_batch(std::span<const std::string> texts,
                                     const EncodeOptions& options = {}) const;
  /// The ids of encode(utf8, false) alone, many times faster on large texts: repeated words are looked up.
  std::vector<int32_t> encode_ids(std::string_view utf8) const;
  /// Ids that no token has are skipped, bytes that are not UTF-8 become U+FFFD, as `tokenizers` does.
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens = true) const;

  /// What decoding makes of tokens by their spellings, which need not be in the vocabulary.
  std::string decode_tokens(const std::vector<std::string>& tokens) const;
  /// Whether tokens tell by a mark ("##") that they go on within a word.
  bool marks_continuations() const;

  /// What the file says; nothing happens unless it is passed to encode.
  const std::optional<Truncation>& truncation() const;
  const std::optional<Padding>& padding() const;

  /// Number of tokens, added ones included. Ids need not be dense: see max_id().
  int32_t vocab_size() const;
  /// The largest id of any token; -1 when there is none.
  int32_t max_id() const;
  std::optional<int32_t> token_to_id(std::string_view token) const;
  /// The token as the vocabulary spells it. An Error when no token has this id.
  std::string id_to_token(int32_t id) const;
  /// Whether decoding leaves the token out where special tokens are skipped.
  bool is_special(int32_t id) const;

 private:
  friend class StreamDecoder;
  explicit Tokenizer(std::shared_ptr<const Pipeline> pipeline);
  Encoding encode_text(std::string_view utf8, int32_t type_id) const;
  std::shared_ptr<const Pipeline> pipeline_;
};

}  // namespace deepspeed::text
