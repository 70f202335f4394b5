// Questions about a text, with where the answer stands in it: what question answerers learn from. Torch-free.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace deepspeed::text {

struct QuestionExample {
  struct Answer {
    std::string text;
    size_t start = 0;  // in Unicode code points of the context
    size_t end = 0;    // behind its last one
  };
  std::string question, context;  // valid UTF-8
  std::vector<Answer> answers;    // none: the context does not say
};
/// `where` names the file and the place, for messages.
using QuestionSink = std::function<void(const std::string& where, QuestionExample example)>;

/// The file of SQuAD 1.1 and 2.0: {"data": [{"paragraphs": [{"context", "qas": [{"question", "answers":
/// [{"text", "answer_start"}], perhaps "is_impossible"}]}]}]}. Source: Rajpurkar et al., "Know What You Don't
/// Know" (2018). Errors name the question's place ("data[0].paragraphs[2].qas[1]"): a field that is missing
/// or of another type, an answer that does not stand where it is said to.
void read_squad(std::string_view content, const std::string& name, const QuestionSink& each);

/// A JSON object a line with "question", "context" and "answers", {"text": [...], "answer_start": [...]} as
/// the datasets library has it, or an array as in read_squad. Errors as "name:line: ...".
void read_question_json_lines(std::string_view content, const std::string& name, const QuestionSink& each);

}  // namespace deepspeed::text
