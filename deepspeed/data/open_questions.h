// From a file a user names to questions with the places of their answers.
#pragma once

#include <filesystem>

#include "deepspeed/data/open_sequences.h"

namespace deepspeed::data {

/// NAME.json (SQuAD 1.1 and 2.0) and NAME.jsonl as text/questions.h reads them. A sequence is the question
/// and the context as the model's tokenizer puts its special tokens around them. A context that does not fit
/// is read in several sequences, each of which repeats a third of `length` (or what is half of the room, if
/// that is less) of the one before; its label is where the first answer's first and last token stand in it,
/// or 0 and 0, the place of the first special token, where the answer does not lie within it as a whole, or
/// there is none: as transformers' run_qa.py prepares training. Options: kind is taken for kSpan, classes are
/// not read. Errors name the file and the place: a question that leaves no room, ids outside the vocabulary.
Sequences open_questions(const std::filesystem::path& path, const SequenceOptions& options);

}  // namespace deepspeed::data
