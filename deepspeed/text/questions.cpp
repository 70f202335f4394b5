#include "deepspeed/text/questions.h"

#include <nlohmann/json.hpp>

#include "deepspeed/base/error.h"
#include "deepspeed/text/data_lines.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

using nlohmann::json;

const json& field(const json& object, const char* name, const std::string& where) {
  DS_CHECK(object.is_object(), "{}: not a JSON object", where);
  DS_CHECK(object.contains(name), "{}: no field \"{}\"", where, name);
  return object.at(name);
}

const json& array(const json& object, const char* name, const std::string& where) {
  const json& value = field(object, name, where);
  DS_CHECK(value.is_array(), "{}: field \"{}\" is of type {}, not an array", where, name, value.type_name());
  return value;
}

std::string text_of(const json& object, const char* name, const std::string& where) {
  const json& value = field(object, name, where);
  DS_CHECK(value.is_string(), "{}: field \"{}\" is of type {}, not a string", where, name, value.type_name());
  return value.get<std::string>();
}

void add_answer(QuestionExample& example, const std::string& text, const json& start,
                const std::string& where) {
  DS_CHECK(start.is_number_unsigned(), "{}: \"answer_start\" is not a number of characters", where);
  const size_t begin = start.get<size_t>();
  const size_t byte = byte_of_code_point(example.context, begin);
  DS_CHECK(
      begin <= count_code_points(example.context) && example.context.compare(byte, text.size(), text) == 0,
      "{}: the answer {} does not stand at character {} of the context", where, quote(text), begin);
  example.answers.push_back({text, begin, begin + count_code_points(text)});
}

void add_answers(QuestionExample& example, const json& answers, const std::string& where) {
  if (answers.is_object()) {
    const json &texts = array(answers, "text", where), &starts = array(answers, "answer_start", where);
    DS_CHECK(texts.size() == starts.size(), "{}: \"text\" holds {} answers, \"answer_start\" {}", where,
             texts.size(), starts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      DS_CHECK(texts[i].is_string(), "{}: an answer is of type {}, not a string", where,
               texts[i].type_name());
      add_answer(example, texts[i].get<std::string>(), starts[i], where);
    }
    return;
  }
  DS_CHECK(answers.is_array(), "{}: field \"answers\" is of type {}, not an array", where,
           answers.type_name());
  for (const json& answer : answers)
    add_answer(example, text_of(answer, "text", where), field(answer, "answer_start", where), where);
}

json parse(std::string_view text, const std::string& where) {
  json value = json::parse(text, nullptr, /*allow_exceptions=*/false);
  DS_CHECK(value.is_object(), "{}: not a JSON object: {}", where, quote(text));
  return value;
}

}  // namespace

void read_squad(std::string_view content, const std::string& name, const QuestionSink& each) {
  const json file = parse(content, name);
  const json& articles = array(file, "data", name);
  for (size_t a = 0; a < articles.size(); ++a) {
    const std::string article = fmt::format("{}: data[{}]", name, a);
    const json& paragraphs = array(articles[a], "paragraphs", article);
    for (size_t p = 0; p < paragraphs.size(); ++p) {
      const std::string paragraph = fmt::format("{}.paragraphs[{}]", article, p);
      const std::string context = text_of(paragraphs[p], "context", paragraph);
      const json& questions = array(paragraphs[p], "qas", paragraph);
      for (size_t q = 0; q < questions.size(); ++q) {
        const std::string where = fmt::format("{}.qas[{}]", paragraph, q);
        QuestionExample example{text_of(questions[q], "question", where), context, {}};
        // SQuAD 2.0 lists "plausible_answers" of impossible questions apart; "answers" is empty there.
        if (questions[q].contains("answers")) add_answers(example, questions[q].at("answers"), where);
        each(where, std::move(example));
      }
    }
  }
}

void read_question_json_lines(std::string_view content, const std::string& name, const QuestionSink& each) {
  each_full_line(content, [&](size_t number, std::string_view line) {
    const std::string where = name + ":" + std::to_string(number);
    const json object = parse(line, where);
    QuestionExample example{text_of(object, "question", where), text_of(object, "context", where), {}};
    add_answers(example, field(object, "answers", where), where);
    each(where, std::move(example));
    return true;
  });
}

}  // namespace deepspeed::text
