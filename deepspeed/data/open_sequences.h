// From a file a user names to the sequences that an encoder learns from.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "deepspeed/data/sequence_dataset.h"
#include "deepspeed/text/tokenizer.h"

namespace deepspeed::data {

struct SequenceOptions {
  int64_t length = 0;  // tokens that a sequence has at most; a longer one loses its end
  int64_t vocab = 0, token_types = 1, padding = 0;
  LabelKind kind = LabelKind::kClass;
  int64_t classes = 2;  // that a label may be: of the sequence, or of a token (mlm: the vocabulary)
  std::vector<std::string> class_names;               // by which a file may call them; may be empty
  std::string text_field = "text";                    // of .jsonl
  std::function<const text::Tokenizer&()> tokenizer;  // called when the file holds text
};

struct Sequences {
  std::shared_ptr<const SequenceDataset> dataset;
  std::string note;  // for a person; may be empty
};

/// NAME.jsonl and NAME.tsv as text/labelled_lines.h reads them. A text becomes [CLS] text [SEP] of token type
/// 0, a second one text [SEP] of token type 1; what does not fit is cut from the longer one first, as
/// transformers' "longest_first" does. Labels of tokens come with token ids only. Errors name the file and
/// the line: a label that is no class, ids outside the vocabulary, labels of the wrong kind.
Sequences open_sequences(const std::filesystem::path& path, const SequenceOptions& options);

/// Whether the file is .jsonl of token ids, which bring their labels along.
bool brings_tokens(const std::filesystem::path& path);

/// How many tokens of two texts `room` takes (tokenizers' LongestFirst).
std::pair<size_t, size_t> longest_first(size_t first, size_t second, size_t room);

/// The id of a token that encoders need, such as "[CLS]". Error naming it when the tokenizer lacks it.
int64_t special_token(const text::Tokenizer& tokenizer, const char* token);

}  // namespace deepspeed::data
