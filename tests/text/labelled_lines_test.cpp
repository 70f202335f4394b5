#include "deepspeed/text/labelled_lines.h"

#include <gmock/gmock.h>

#include "deepspeed/base/error.h"

namespace deepspeed::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Read {
  std::vector<size_t> numbers;
  std::vector<LabelledLine> lines;
};

Read read_json(std::string_view content, const std::string& field = "text") {
  Read out;
  read_labelled_json_lines(content, "d.jsonl", field, [&](size_t n, LabelledLine e) {
    out.numbers.push_back(n), out.lines.push_back(e);
  });
  return out;
}
Read read_table(std::string_view content) {
  Read out;
  read_labelled_table(content, "d.tsv",
                      [&](size_t n, LabelledLine e) { out.numbers.push_back(n), out.lines.push_back(e); });
  return out;
}
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const base::Error& error) {
    return error.what();
  }
  return "none";
}

TEST(LabelledJsonLines, HoldTextsPairsAndEveryKindOfLabel) {
  const Read read = read_json(
      "\xEF\xBB\xBF{\"text\": \"a\", \"label\": 3, \"id\": 9}\r\n\n"
      "{\"text\": \"b\", \"text_pair\": \"c\", \"label\": \"good\"}\n{\"text\": \"\", \"label\": -0.5}");
  EXPECT_THAT(read.numbers, ElementsAre(1, 3, 4));
  const auto& pair = std::get<LabelledText>(read.lines[1]);
  EXPECT_EQ(std::get<int64_t>(std::get<LabelledText>(read.lines[0]).label), 3);
  EXPECT_FALSE(std::get<LabelledText>(read.lines[0]).pair);
  EXPECT_EQ(pair.text + *pair.pair + std::get<std::string>(pair.label), "bcgood");
  EXPECT_EQ(std::get<double>(std::get<LabelledText>(read.lines[2]).label), -0.5);
}

TEST(LabelledJsonLines, HoldTokensWithLabelsOfEachOrOfAll) {
  const Read read = read_json(
      R"({"input_ids": [5, 6], "labels": [-100, 7]}
{"input_ids": [1], "token_type_ids": [1], "labels": 2})");
  const auto& tokens = std::get<LabelledTokens>(read.lines[0]);
  EXPECT_THAT(tokens.ids, ElementsAre(5, 6));
  EXPECT_THAT(std::get<std::vector<int64_t>>(tokens.labels), ElementsAre(-100, 7));
  EXPECT_TRUE(tokens.token_types.empty());
  const auto& classed = std::get<LabelledTokens>(read.lines[1]);
  EXPECT_EQ(std::get<int64_t>(std::get<Label>(classed.labels)), 2);
  EXPECT_THAT(classed.token_types, ElementsAre(1));
  EXPECT_TRUE(holds_tokens("\n{\"input_ids\": 3}\n"));
  EXPECT_FALSE(holds_tokens("{\"text\": 3}\n{\"input_ids\": []}"));
  EXPECT_FALSE(holds_tokens("nonsense"));
}

TEST(LabelledJsonLines, SayWhichLineIsWrongAndHow) {
  const auto error = [](const std::string& line) { return error_of([&] { read_json("\n" + line); }); };
  EXPECT_THAT(error("[]"), HasSubstr("d.jsonl:2: not a JSON object"));
  EXPECT_THAT(error(R"({"label": 1})"), HasSubstr("--text-field"));
  EXPECT_THAT(error(R"({"text": "a"})"), HasSubstr("no field \"label\""));
  EXPECT_THAT(error(R"({"text": "a", "label": null})"), HasSubstr("'null'"));
  EXPECT_THAT(error(R"({"text": "a", "label": 3000000000})"), HasSubstr("3000000000"));
  EXPECT_THAT(error(R"({"input_ids": [1, 2], "labels": [1]})"), HasSubstr("\"labels\" holds 1 numbers"));
  EXPECT_THAT(error(R"({"input_ids": [1.5], "label": 1})"), HasSubstr("1.5"));
  EXPECT_THAT(error(R"({"input_ids": [], "label": 1})"), HasSubstr("empty"));
  EXPECT_THAT(error(R"({"input_ids": "x", "label": 1})"), HasSubstr("not an array"));
  EXPECT_THAT(error(R"({"text": 1, "label": 1})"), HasSubstr("not a string"));
}

TEST(LabelledTable, HoldsTextsAndPairsWithOrWithoutAHeader) {
  const Read read = read_table("sentence\tlabel\nall is well\t1\r\n\nquite \"bad\"\tbad one\nso so\t0.5");
  EXPECT_THAT(read.numbers, ElementsAre(2, 4, 5));
  EXPECT_EQ(std::get<int64_t>(std::get<LabelledText>(read.lines[0]).label), 1);
  EXPECT_EQ(std::get<std::string>(std::get<LabelledText>(read.lines[1]).label), "bad one");
  EXPECT_EQ(std::get<LabelledText>(read.lines[1]).text, "quite \"bad\"");
  EXPECT_EQ(std::get<double>(std::get<LabelledText>(read.lines[2]).label), 0.5);
  const Read pairs = read_table("a\tb\t0\nc\td\t1\n");
  ASSERT_EQ(pairs.lines.size(), 2u);
  EXPECT_EQ(*std::get<LabelledText>(pairs.lines[1]).pair, "d");
}

TEST(LabelledTable, TakesWhatIsNoFiniteNumberForAName) {
  const Read read = read_table("a\tnan\nb\tinf\nc\t1e999\n");
  for (size_t i = 0; i < 3; ++i)
    EXPECT_TRUE(std::holds_alternative<std::string>(std::get<LabelledText>(read.lines[i]).label)) << i;
}

TEST(LabelledTable, RefusesOtherNumbersOfColumnsAndBadBytes) {
  EXPECT_THAT(error_of([] { read_table("a\n"); }), HasSubstr("d.tsv:1: 1 columns; want 2 or 3"));
  EXPECT_THAT(error_of([] { read_table("a\t1\nb\tc\t1\n"); }), HasSubstr("d.tsv:2: 3 columns; want 2"));
  EXPECT_THAT(error_of([] { read_table("a\tb\tc\td\n"); }), HasSubstr("4 columns"));
  EXPECT_THAT(error_of([] { read_table("a\xFF\t1\n"); }), HasSubstr("not valid UTF-8"));
}

}  // namespace
}  // namespace deepspeed::text
