// Byte-level BPE and BERT's WordPiece tokenizers of Hugging Face's tokenizer.json, with the ids, offsets and
// decoded text of `tokenizers` 0.23.3. Torch-free.
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

namespace deepspeed::text {

struct Encoding {
  std::vector<int32_t> ids;
  std::vector<std::string> tokens;                 // as the vocabulary spells them; an added token as matched
  std::vector<std::pair<size_t, size_t>> offsets;  // [begin, end) in Unicode code points of the input
};

struct Pipeline;  // private to text/

/// A tokenizer read from tokenizer.json. Immutable: any number of threads may use one object.
///
/// Understood: models BPE (GPT-2, Llama 3, Qwen 2 and their kind) and WordPiece (BERT); normalizer null, NFC
/// or BertNormalizer; pre-tokenizers ByteLevel, BertPreTokenizer, Split, Digits and Sequences of them;
/// post-processors ByteLevel, TemplateProcessing and Sequences of them; decoders ByteLevel and WordPiece;
/// added tokens with every flag. Everything else is an Error that names what the file asks for. `truncation`
/// and `padding` are ignored: batching is the caller's.
class Tokenizer {
 public:
  /// Reads the file; an Error names it and the place inside it.
  static Tokenizer from_file(const std::filesystem::path& tokenizer_json);
  /// `name` stands for the file in errors.
  static Tokenizer from_json(std::string_view json, const std::string& name);

  /// `utf8` must be valid UTF-8, else an Error that says at which byte it is not.
  /// `add_special_tokens`: whether a TemplateProcessing post-processor adds its tokens.
  Encoding encode(std::string_view utf8, bool add_special_tokens = true) const;
  /// The ids of encode(utf8, false) alone, many times faster on large texts: repeated words are looked up.
  std::vector<int32_t> encode_ids(std::string_view utf8) const;
  /// Ids that no token has are skipped, bytes that are not UTF-8 become U+FFFD, as `tokenizers` does.
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens = true) const;

  /// Number of tokens, added ones included. Ids need not be dense: see max_id().
  int32_t vocab_size() const;
  /// The largest id of any token; -1 when there is none.
  int32_t max_id() const;
  std::optional<int32_t> token_to_id(std::string_view token) const;
  /// The token as the vocabulary spells it. An Error when no token has this id.
  std::string id_to_token(int32_t id) const;

 private:
  explicit Tokenizer(std::shared_ptr<const Pipeline> pipeline);
  std::shared_ptr<const Pipeline> pipeline_;
};

}  // namespace deepspeed::text
