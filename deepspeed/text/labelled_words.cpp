#include "deepspeed/text/labelled_words.h"

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <utility>

#include "deepspeed/base/error.h"
#include "deepspeed/text/data_lines.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

using nlohmann::json;

constexpr std::string_view kSeparators = " \t";
constexpr int64_t kLargest = int64_t{1} << 31;  // of labels

// The first of the fields that the object has.
const json& array_of(const json& object, std::initializer_list<const char*> names, const std::string& where) {
  for (const char* name : names)
    if (object.contains(name)) {
      DS_CHECK(object.at(name).is_array(), "{}: field \"{}\" is of type {}, not an array", where, name,
               object.at(name).type_name());
      return object.at(name);
    }
  base::fail("{}: no field \"{}\"", where, *names.begin());
}

Label label_of(const json& value, const std::string& where) {
  if (value.is_string()) return value.get<std::string>();
  const bool whole = value.is_number_integer() &&
                     (!value.is_number_unsigned() || value.get<uint64_t>() < static_cast<uint64_t>(kLargest));
  DS_CHECK(whole, "{}: a label is of type {}; write a class as a whole number or by its name", where,
           value.type_name());
  return value.get<int64_t>();
}

LabelledWords sentence_of(const json& object, const std::string& where) {
  LabelledWords out;
  for (const json& word : array_of(object, {"tokens", "words"}, where)) {
    DS_CHECK(word.is_string() && !word.get_ref<const std::string&>().empty(),
             "{}: \"tokens\" must hold words, not {}", where,
             quote(word.dump(-1, ' ', false, json::error_handler_t::replace)));
    out.words.push_back(word.get<std::string>());
  }
  for (const json& label : array_of(object, {"labels", "ner_tags", "tags"}, where))
    out.labels.push_back(label_of(label, where));
  DS_CHECK(out.words.size() == out.labels.size(), "{}: {} words have {} labels", where, out.words.size(),
           out.labels.size());
  DS_CHECK(!out.words.empty(), "{}: a sentence without words", where);
  return out;
}

}  // namespace

void read_word_json_lines(std::string_view content, const std::string& name, const WordSink& each) {
  each_full_line(content, [&](size_t number, std::string_view line) {
    const std::string where = name + ":" + std::to_string(number);
    const auto object = json::parse(line, nullptr, /*allow_exceptions=*/false);
    DS_CHECK(object.is_object(), "{}: not a JSON object: {}", where, quote(line));
    each(number, sentence_of(object, where));
    return true;
  });
}

void read_word_columns(std::string_view content, const std::string& name, const WordSink& each) {
  LabelledWords sentence;
  size_t first = 0;
  const auto finish = [&] {
    if (!sentence.words.empty()) each(first, std::exchange(sentence, {}));
  };
  each_line(content, [&](size_t number, std::string_view line) {
    if (is_blank(line)) {
      finish();
      return true;
    }
    const size_t begin = line.find_first_not_of(kSeparators);
    const std::string_view word = line.substr(begin, line.find_first_of(kSeparators, begin) - begin);
    if (word == "-DOCSTART-") return true;
    const size_t end = line.find_last_not_of(kSeparators) + 1;
    const size_t label = line.find_last_of(kSeparators, end - 1);
    const std::string where = name + ":" + std::to_string(number);
    DS_CHECK(label != std::string_view::npos && label >= begin + word.size(),
             "{}: one column; want a word and, as the last one, its label", where);
    DS_CHECK(find_invalid_utf8(line) == std::string_view::npos, "{}: not valid UTF-8", where);
    if (sentence.words.empty()) first = number;
    sentence.words.emplace_back(word);
    sentence.labels.emplace_back(std::string(line.substr(label + 1, end - label - 1)));
    return true;
  });
  finish();
}

}  // namespace deepspeed::text
