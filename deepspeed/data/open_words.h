// From a file a user names to sentences whose every word has a class.
#pragma once

#include <filesystem>

#include "deepspeed/data/open_sequences.h"

namespace deepspeed::data {

/// NAME.jsonl and NAME.conll as text/labelled_words.h reads them; .jsonl of "input_ids" as open_sequences
/// does. A sentence becomes the tokens of its words with a space between, as the model's tokenizer puts its
/// special tokens around them; the first token of each word has the word's class, all others -100, as
/// transformers' run_ner.py does it. Options: kind is taken for kTokens. What is longer than `length` loses
/// its end. Errors name the file and the line: a label that is no class, ids outside the vocabulary.
Sequences open_words(const std::filesystem::path& path, const SequenceOptions& options);

}  // namespace deepspeed::data
