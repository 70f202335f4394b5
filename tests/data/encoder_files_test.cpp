// Labelled words and questions beside what transformers' examples make of them (make_encoder_goldens.py), and
// what is refused.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/data/open_questions.h"
#include "deepspeed/data/open_words.h"

namespace deepspeed::data {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

const text::Tokenizer& tokenizer() {
  static const auto made =
      text::Tokenizer::from_file(fs::path(DS_SOURCE_DIR) / "tests/text/goldens/bert.json");
  return made;
}

class EncoderFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("ds_encoder_files_{}", ::getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }
  static SequenceOptions options(int64_t length) {
    return {.length = length,
            .vocab = 2000,
            .token_types = 2,
            .padding = 0,
            .classes = 4,
            .class_names = {"O", "B-PER", "I-PER", "B-LOC"},
            .tokenizer = tokenizer};
  }
  template <class Open>
  std::string error_of(const Open& open, const std::string& name, const std::string& text,
                       int64_t length = 40) const {
    try {
      open(write(name, text), options(length));
    } catch (const base::Error& error) {
      return error.what();
    }
    return "none";
  }
  fs::path folder_;
};

Json golden(const std::string& name) {
  return Json::parse(base::read_text_file(fs::path(DS_SOURCE_DIR) / "tests/data/goldens" / name));
}

std::string as_lines(const Json& lines) {
  std::string out;
  for (const Json& line : lines) out += line.dump() + "\n";
  return out;
}

std::vector<int64_t> numbers(const at::Tensor& t, int64_t count) {
  return {t.data_ptr<int64_t>(), t.data_ptr<int64_t>() + count};
}

void expect_features(const SequenceDataset& made, const Json& features, bool spans) {
  ASSERT_EQ(made.size(), static_cast<int64_t>(features.size()));
  for (int64_t i = 0; i < made.size(); ++i) {
    SCOPED_TRACE(i);
    const auto sample = made.get(i);
    const Json& wanted = features[static_cast<size_t>(i)];
    const auto count = sample[3].item<int64_t>();
    EXPECT_EQ(numbers(sample[0], count), wanted["ids"].get<std::vector<int64_t>>());
    EXPECT_EQ(numbers(sample[2], count), wanted["token_types"].get<std::vector<int64_t>>());
    EXPECT_EQ(numbers(sample[1], spans ? 2 : count), wanted["labels"].get<std::vector<int64_t>>());
  }
}

TEST_F(EncoderFiles, WordsAreTransformersTokensWithTheFirstOfEachLabelled) {
  const Json words = golden("words.json");
  for (const Json& run : words["runs"]) {
    SCOPED_TRACE(run["length"].dump());
    const auto made = open_words(write("d.jsonl", as_lines(words["lines"])), options(run["length"]));
    expect_features(*made.dataset, run["features"], false);
    EXPECT_EQ(made.note.empty(), run["length"] == 40);
  }
}

TEST_F(EncoderFiles, ColumnsAreTheSameSentences) {
  const std::string columns =
      "-DOCSTART- -X- -X- O\n\nAbraham NNP I-NP B-PER\nwent VBD I-VP O\n\n\nEgypt\tB-LOC\r\n";
  const auto made = open_words(write("d.conll", columns), options(12));
  const auto same = open_words(write("d.jsonl", R"({"words": ["Abraham", "went"], "ner_tags": [1, 0]})"
                                                "\n"
                                                R"({"tokens": ["Egypt"], "tags": ["B-LOC"]})"),
                               options(12));
  ASSERT_EQ(made.dataset->size(), 2);
  for (int64_t i = 0; i < 2; ++i)
    for (size_t t = 0; t < 4; ++t) EXPECT_TRUE(made.dataset->get(i)[t].equal(same.dataset->get(i)[t]));
}

TEST_F(EncoderFiles, QuestionsAreTransformersFeatures) {
  const Json questions = golden("questions.json");
  for (const Json& run : questions["runs"]) {
    SCOPED_TRACE(run["length"].dump());
    const auto made = open_questions(write("d.jsonl", as_lines(questions["lines"])), options(run["length"]));
    expect_features(*made.dataset, run["features"], true);
  }
  // As SQuAD has them.
  Json squad{{"data", Json::array()}};
  for (const Json& line : questions["lines"]) {
    Json answers = Json::array();
    for (size_t i = 0; i < line["answers"]["text"].size(); ++i)
      answers.push_back(
          {{"text", line["answers"]["text"][i]}, {"answer_start", line["answers"]["answer_start"][i]}});
    const Json qa{{"question", line["question"]}, {"answers", answers}, {"is_impossible", answers.empty()}};
    squad["data"].push_back({{"paragraphs", {{{"context", line["context"]}, {"qas", {qa}}}}}});
  }
  const auto made = open_questions(write("d.json", squad.dump()), options(questions["runs"][1]["length"]));
  expect_features(*made.dataset, questions["runs"][1]["features"], true);
}

TEST_F(EncoderFiles, AnAnswerOfTheLastTokenIsFound) {
  const std::string line =
      R"({"question": "who?", "context": "made by god", "answers": {"text": ["god"], "answer_start": [8]}})";
  const auto sample = open_questions(write("d.jsonl", line), options(40)).dataset->get(0);
  const auto last = sample[3].item<int64_t>() - 2;  // before [SEP]
  EXPECT_EQ(sample[1][1].item<int64_t>(), last);
  EXPECT_GT(sample[1][0].item<int64_t>(), 0);
  EXPECT_LE(sample[1][0].item<int64_t>(), last);
}

TEST_F(EncoderFiles, WhatIsWrongIsSaidWithItsPlace) {
  const auto words = [&](const std::string& text, const char* name = "d.jsonl") {
    return error_of(open_words, name, text);
  };
  EXPECT_THAT(words(R"({"tokens": ["a", "b"], "labels": [0]})"),
              HasSubstr("d.jsonl:1: 2 words have 1 labels"));
  EXPECT_THAT(words("\n"
                    R"({"tokens": ["a"], "labels": ["ugly"]})"),
              HasSubstr("d.jsonl:2: label 'ugly'"));
  EXPECT_THAT(words(R"({"tokens": ["a"], "labels": [4]})"), HasSubstr("label 4 is none of the model's 4"));
  EXPECT_THAT(words(R"({"tokens": ["a"], "labels": [1.5]})"), HasSubstr("a label is of type number"));
  EXPECT_THAT(words(R"({"tokens": [""], "labels": [0]})"), HasSubstr("must hold words"));
  EXPECT_THAT(words(R"({"tokens": "a", "labels": [0]})"), HasSubstr("not an array"));
  EXPECT_THAT(words(R"({"tokens": ["a"]})"), HasSubstr("no field \"labels\""));
  EXPECT_THAT(words(R"({"tokens": [], "labels": []})"), HasSubstr("without words"));
  EXPECT_THAT(words("a\n", "d.conll"), HasSubstr("d.conll:1: one column"));
  EXPECT_THAT(words("a \xFF\n", "d.conll"), HasSubstr("not valid UTF-8"));
  EXPECT_THAT(words("\n", "d.conll"), HasSubstr("holds no sentence"));
  EXPECT_THAT(words("", "d.txt"), HasSubstr(".jsonl or .conll"));
  EXPECT_THAT(words(R"({"input_ids": [1], "labels": [4]})"), HasSubstr("outside 0 ... 3"));

  const auto questions = [&](const std::string& text, const char* name = "d.jsonl", int64_t length = 40) {
    return error_of(open_questions, name, text, length);
  };
  const auto line = [](const std::string& answers) {
    return R"({"question": "who made the heaven?", "context": "god made the heaven", "answers": )" + answers +
           "}";
  };
  EXPECT_THAT(questions(line(R"({"text": ["god"], "answer_start": [1]})")),
              HasSubstr("d.jsonl:1: the answer 'god' does not stand at character 1"));
  EXPECT_THAT(questions(line(R"({"text": ["god"], "answer_start": [100]})")), HasSubstr("does not stand"));
  EXPECT_THAT(questions(line(R"({"text": ["god"], "answer_start": [-1]})")), HasSubstr("answer_start"));
  EXPECT_THAT(questions(line(R"({"text": ["god"], "answer_start": []})")), HasSubstr("holds 1 answers"));
  EXPECT_THAT(questions(line("7")), HasSubstr("not an array"));
  EXPECT_THAT(questions(line("[]"), "d.jsonl", 6), HasSubstr("leave no room"));
  EXPECT_THAT(questions("{\"data\": [{}]}", "d.json"), AllOf(HasSubstr("data[0]"), HasSubstr("paragraphs")));
  EXPECT_THAT(questions("[]", "d.json"), HasSubstr("not a JSON object"));
  EXPECT_THAT(questions("{\"data\": []}", "d.json"), HasSubstr("holds no question"));
}

}  // namespace
}  // namespace deepspeed::data
