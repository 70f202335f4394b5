// What the readers of open_sequences.h, open_words.h and open_questions.h share. Private to data/.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/base/file.h"
#include "deepspeed/data/open_sequences.h"

namespace deepspeed::data {

std::string_view text_of(const base::MappedFile& file);

/// A text's tokens and their types, without labels. Errors begin with `where`: what the model has no id or
/// type for.
Sequence sequence_of(const text::Encoding& tokens, const SequenceOptions& options, const std::string& where);

/// What a reader gives. Error where there is none: "'file' holds no `what`".
Sequences finished(std::vector<Sequence> sequences, LabelKind kind, const SequenceOptions& options,
                   const std::string& file, const char* what, std::string note);

}  // namespace deepspeed::data
