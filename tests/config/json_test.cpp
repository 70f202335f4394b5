#include "deepspeed/config/json.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "deepspeed/base/file.h"
#include "errors.h"

namespace deepspeed::config {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Json parse(std::string_view text) { return parse_text(text, "ds.json").json; }
std::string error_in(std::string_view text) {
  return error_of([&] { parse_text(text, "ds.json"); });
}

TEST(Json, StrictJsonIsReadAsItIs) {
  Json expected =
      Json::parse(R"({"a": [1, -2.5, 1e3, true, false, null], "b": {"c": "x\"\n\u00e9\ud83d\ude00"}})");
  EXPECT_EQ(parse(R"({"a": [1, -2.5, 1e3, true, false, null], "b": {"c": "x\"\n\u00e9\ud83d\ude00"}})"),
            expected);
}

TEST(Json, CommentsTrailingCommasAndHjsonLibertiesAreAccepted) {
  EXPECT_EQ(parse("# one\n{ // two\n \"a\": 1, /* three\n lines */ 'b': [1, 2,],\n c: 3\n d: word # four\n "
                  "e: {},\n}\n"),
            Json::parse(R"({"a": 1, "b": [1, 2], "c": 3, "d": "word", "e": {}})"));
  EXPECT_EQ(parse("\xEF\xBB\xBF{\"a\": 1}"), Json::parse(R"({"a": 1})"));
  EXPECT_EQ(parse(R"({"url": "http://x#y", "c": "/* no comment */"})").at("url"), "http://x#y");
}

TEST(Json, WholeNumbersStayWholeAndLargeOnesBecomeReal) {
  Json json = parse(R"({"a": 9223372036854775807, "b": 9223372036854775808, "c": 5e8, "d": -0.5})");
  EXPECT_EQ(json["a"].get<int64_t>(), INT64_MAX);
  EXPECT_TRUE(json["b"].is_number_float());
  EXPECT_TRUE(json["c"].is_number_float());
  EXPECT_EQ(json["d"].get<double>(), -0.5);
}

struct Broken {
  const char* text;
  const char* message;
};

class BrokenJson : public ::testing::TestWithParam<Broken> {};

TEST_P(BrokenJson, IsAnsweredByOneLineWithItsPlace) {
  std::string message = error_in(GetParam().text);
  EXPECT_THAT(message, StartsWith("ds.json:"));
  EXPECT_THAT(message, HasSubstr(GetParam().message));
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Syntax, BrokenJson,
    ::testing::Values(Broken{"", "1:1: the text is empty"}, Broken{"  // only\n", "2:1: the text is empty"},
                      Broken{"[1]",
                             "1:1: a configuration is a JSON object and starts with '{', not with '['"},
                      Broken{"{\"a\": 1", "1:8: '}' is missing for the '{' of 1:1"},
                      Broken{"{\"a\": [1, 2", "1:12: ']' is missing for the '[' of 1:7"},
                      Broken{"{\"a\": 1} x", "1:10: the object is complete, yet 'x' follows"},
                      Broken{"{\"a\" 1}", "1:6: expected ':' after key 'a', not '1'"},
                      Broken{"{\n  \"a\": 1,\n  , }", "3:3: expected a key, not ','"},
                      Broken{"{\"a\": }", "1:7: expected a value, not '}'"},
                      Broken{"{\"a\":", "1:6: a value is missing"},
                      Broken{"{\"a\": 1 \"b\": 2}", "1:9: expected ',' or '}', not '\"'"},
                      Broken{"{\"a\": two words}",
                             "1:11: expected ',' or '}', not 'w'; texts of several words need quotes"},
                      Broken{"{\"a\": \"x\n\"}", "1:7: the text that starts here has no closing \""},
                      Broken{"{\"a\": 1 /* x", "1:9: the comment that starts here has no closing */"},
                      Broken{"{\"a\": \"\\q\"}", "1:8: unknown escape"},
                      Broken{"{\"a\": \"\\u12g4\"}", "four hexadecimal digits"},
                      Broken{"{\"a\": \"\\ud83d\"}", "1:8: a high surrogate without its low half"},
                      Broken{"{\"a\": \"\\udc00\"}", "1:8: a low surrogate without its high half"},
                      Broken{"{\"a\": \"\x01\"}", "1:8: a control character"},
                      Broken{R"({"a\nb" 1})", "1:2: a key holds a control character"},
                      Broken{"{\"a\": 01}", "1:7: '01' is not a JSON number"},
                      Broken{"{\"a\": +1}", "'+1' is not a JSON number"},
                      Broken{"{\"a\": NaN}", "NaN is not a JSON number"},
                      Broken{"{\"a\": 1e999}", "1:7: the number 1e999 is out of range"},
                      Broken{"{\n \"a\": \"\xff\"}", "2:8: invalid UTF-8 (byte 0xff)"},
                      Broken{"{\"\xc0\xaf\": 1}", "1:3: invalid UTF-8"},
                      Broken{"{\"\xed\xa0\x80\": 1}", "1:3: invalid UTF-8"},
                      Broken{"{\"a\": '''x'''}", "1:7: texts over several lines"}));

TEST(Json, DuplicateKeysAreAllListedWithTheirPlaces) {
  EXPECT_EQ(error_in("{\"a\": 1,\n \"b\": 2,\n \"a\": 3,\n \"b\": 4}"),
            "ds.json:3:2: keys given twice in one object: 'a' (first at 1:2), 'b' (first at 2:2)");
  EXPECT_EQ(error_in(R"({"a": {"x": 1}, "b": {"x": 1}})"), "");
}

TEST(Json, NestingIsBounded) {
  auto nested = [](int depth) {
    return "{\"a\": " + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  EXPECT_EQ(error_in(nested(64)), "");
  EXPECT_THAT(error_in(nested(65)), HasSubstr("nested deeper than 64 levels"));
  EXPECT_THAT(error_in("{\"a\": " + std::string(1000000, '[')), HasSubstr("nested deeper than 64 levels"));
}

TEST(Json, NodesRememberWhereTheyWereWritten) {
  Document document = parse_text("{\n  \"a\": {\"b\": [1,\n   22]},\n}", "ds.json");
  Node root(document);
  Node b = *root.find("a")->find("b");
  EXPECT_EQ(b.where(), "ds.json:2:9");
  EXPECT_EQ(b.path(), "a.b");
  EXPECT_EQ(b.children()[1].describe(), "a.b[1] = 22 at ds.json:3:4");
  EXPECT_EQ(b.replaced_by("c", 7).describe(), "a.c = 7 at ds.json:2:9");
  EXPECT_FALSE(root.find("x"));
  Document made = from_json(Json{{"a", 1}}, "made");
  EXPECT_EQ(Node(made).find("a")->describe(), "a = 1 at made");
}

TEST(Json, ASourceIsAFileOrTextOrBase64) {
  auto path = std::filesystem::temp_directory_path() / "ds_json_test_source.json";
  base::write_text_file(path, "{\"a\": 1}");
  EXPECT_EQ(load(path.string()).json, Json::parse(R"({"a": 1})"));
  EXPECT_EQ(load(path.string()).name, path.string());
  std::filesystem::remove(path);
  EXPECT_THAT(error_of([&] { load(path.string()); }), HasSubstr("no such file"));
  EXPECT_EQ(load(" {\"a\": 1}").json, Json::parse(R"({"a": 1})"));
  EXPECT_EQ(load("eyJhIjogIj8_PiJ9").json, Json::parse(R"({"a": "??>"})"));
  EXPECT_EQ(load("eyJhIjoxfQ==").json, Json::parse(R"({"a": 1})"));
  EXPECT_THAT(error_of([] { load("nonsense"); }),
              HasSubstr("neither JSON text nor JSON text in url-safe base64"));
  EXPECT_THAT(error_of([] { load("/tmp"); }), HasSubstr("is a folder"));
  EXPECT_THAT(error_of([] { load(""); }), HasSubstr("empty"));
}

}  // namespace
}  // namespace deepspeed::config
