// Sentences as words, each with a label: what token classifiers learn from. Torch-free.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/text/labelled_lines.h"

namespace deepspeed::text {

struct LabelledWords {
  std::vector<std::string> words;  // none is empty; valid UTF-8
  std::vector<Label> labels;       // as many
};
/// `line` is the first of the sentence.
using WordSink = std::function<void(size_t line, LabelledWords sentence)>;

/// Calls `each` for every line that is not blank: a JSON object with "tokens" (or "words"), an array of
/// strings, and "labels" (or "ner_tags", "tags"), an array of as many numbers or names. Other fields are not
/// read. Errors, as "name:line: ...": anything else.
void read_word_json_lines(std::string_view content, const std::string& name, const WordSink& each);

/// CoNLL's columns: a word a line, its label last, separated by spaces or tabs, what stands between them not
/// read; a blank line ends a sentence, "-DOCSTART-" lines are left out. Source: Tjong Kim Sang and De
/// Meulder, "Introduction to the CoNLL-2003 Shared Task". Errors: a line of one column, bytes that are not
/// UTF-8.
void read_word_columns(std::string_view content, const std::string& name, const WordSink& each);

}  // namespace deepspeed::text
