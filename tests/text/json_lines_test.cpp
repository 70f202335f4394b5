#include "deepspeed/text/json_lines.h"

#include <gmock/gmock.h>

#include <vector>

#include "deepspeed/base/error.h"

namespace deepspeed::text {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> read(const std::string& content, const std::string& field = "text") {
  std::vector<std::string> lines;
  read_json_lines(content, "a.jsonl", field, [&](size_t line, const Example& e) {
    lines.push_back(std::to_string(line) + (e.is_pair ? " pair " + e.prompt + " | " : " ") + e.text);
  });
  return lines;
}

std::string error_of(const std::string& content) {
  try {
    read(content);
  } catch (const base::Error& error) {
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    return error.what();
  }
  return "none";
}

TEST(JsonLines, ReadsDocumentsAndBothSpellingsOfPairs) {
  EXPECT_THAT(read("{\"text\": \"one\"}\n\n{\"prompt\": \"p\", \"response\": \"r\"}\r\n  \n"
                   "{\"completion\":\"c\",\"prompt\":\"\"}"),
              ElementsAre("1 one", "3 pair p | r", "5 pair  | c"));
}

TEST(JsonLines, IgnoresWhatStandsBesideAndAByteOrderMark) {
  EXPECT_THAT(read("\xEF\xBB\xBF{\"text\": \"a\", \"meta\": {\"text\": 3}, \"prompt\": 1}"),
              ElementsAre("1 a"));
  EXPECT_THAT(read("{\"prompt\": \"p\", \"completion\": \"c\", \"id\": 7}"), ElementsAre("1 pair p | c"));
  EXPECT_THAT(read(""), ElementsAre());
}

TEST(JsonLines, TheFieldOfDocumentsCanBeChosen) {
  EXPECT_THAT(read("{\"body\": \"b\", \"text\": \"t\"}", "body"), ElementsAre("1 b"));
}

TEST(JsonLines, OtherFieldsAreRefusedWithLineAndNames) {
  EXPECT_THAT(error_of("{\"text\": \"a\"}\n{\"instruction\": \"i\", \"output\": \"o\"}"),
              AllOf(HasSubstr("a.jsonl:2:"), HasSubstr("'instruction', 'output'"), HasSubstr("'text'")));
  EXPECT_THAT(error_of("{}"), HasSubstr("the fields are none"));
  EXPECT_THAT(error_of("{\"prompt\": \"p\"}"), HasSubstr("'prompt'"));
  EXPECT_THAT(error_of("{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1}"), HasSubstr("'d', ..."));
  EXPECT_THAT(error_of("{\"new\\nline\":1}"), HasSubstr("new\\x0aline"));
}

TEST(JsonLines, AmbiguousLinesAreRefused) {
  EXPECT_THAT(error_of("{\"prompt\": \"p\", \"response\": \"r\", \"completion\": \"c\"}"),
              HasSubstr("both 'response' and 'completion'"));
  EXPECT_THAT(error_of("{\"text\": \"t\", \"prompt\": \"p\", \"response\": \"r\"}"),
              HasSubstr("both a document"));
}

TEST(JsonLines, WrongTypesAndDamagedLinesAreRefused) {
  EXPECT_THAT(error_of("{\"text\": 3}"), AllOf(HasSubstr("a.jsonl:1: field 'text'"), HasSubstr("number")));
  EXPECT_THAT(error_of("{\"prompt\": null, \"response\": \"r\"}"), HasSubstr("'prompt' is of type null"));
  EXPECT_THAT(error_of("{\"text\": \"a\"}\nnot json"), HasSubstr("a.jsonl:2: not a JSON object: 'not json'"));
  EXPECT_THAT(error_of("[\"text\"]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(error_of("{\"text\": \"\xFF\"}"), HasSubstr("a.jsonl:1:"));
  EXPECT_THAT(error_of("{\"text\": \"a\"} {\"text\": \"b\"}"), HasSubstr("not a JSON object"));
}

}  // namespace
}  // namespace deepspeed::text
