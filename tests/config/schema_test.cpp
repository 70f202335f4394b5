#include "deepspeed/config/schema.h"

#include <gmock/gmock.h>

#include "deepspeed/config/not_yet.h"
#include "errors.h"

namespace deepspeed::config {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;

enum class Mode { kSum, kMean };

struct Inner {
  int size = 4;
};

struct Sample {
  bool flag = false;
  int stage = 0;
  int64_t bucket = 500;
  double ratio = 0.5;
  std::string name = "x";
  std::optional<bool> maybe;
  std::vector<double> many{1.0};
  std::array<double, 2> pair{0.1, 0.2};
  Mode mode = Mode::kMean;
  Inner inner;
};

Schema<Sample> sample_schema(bool strict) {
  Schema<Inner> inner("Inner.");
  inner.field("size", &Inner::size).above(0);
  Schema<Sample> s("Sample.");
  if (strict) s.strict();
  s.field("flag", &Sample::flag);
  s.field("stage", &Sample::stage).range(0, 3);
  s.field("bucket", &Sample::bucket).above(0).no_bool().alias("stage3_bucket");
  s.field("ratio", &Sample::ratio).at_least(0).below(1);
  s.field("name", &Sample::name);
  s.field("maybe", &Sample::maybe);
  s.field("many", &Sample::many);
  s.field("pair", &Sample::pair);
  s.choice<Mode>("mode", &Sample::mode, {{"sum", Mode::kSum}, {"mean", Mode::kMean}});
  s.object("inner", &Sample::inner, inner);
  s.add(deprecated_field("old_bucket", "int", "bucket", "Before."));
  s.add(deprecated_field("old_flag", "bool", "flag", "Before.",
                         [](const Json& v) { return v == true ? std::optional<Json>(true) : std::nullopt; }));
  s.add(deprecated_field("gone", "bool", "", "Nothing."));
  return s;
}

Sample parse(std::string_view text, bool strict, Warnings* warnings = nullptr) {
  Document document = parse_text(text, "ds.json");
  Warnings local;
  return sample_schema(strict).parse(Node(document), warnings ? *warnings : local);
}
std::string error_in(std::string_view text, bool strict = true) {
  return error_of([&] { parse(text, strict); });
}

TEST(Schema, AbsentKeysKeepTheStructsDefaults) {
  Sample s = parse("{}", true);
  EXPECT_EQ(s.bucket, 500);
  EXPECT_EQ(s.inner.size, 4);
  EXPECT_EQ(s.maybe, std::nullopt);
}

TEST(Schema, EveryTypeIsRead) {
  Sample s = parse(R"({"flag": true, "stage": 2, "bucket": 5e8, "ratio": 0, "name": "y", "maybe": false,
                       "many": [1, 2.5], "pair": [0.3, 0.4], "mode": "SUM", "inner": {"size": 7}})",
                   false);
  EXPECT_TRUE(s.flag);
  EXPECT_EQ(s.stage, 2);
  EXPECT_EQ(s.bucket, 500'000'000);
  EXPECT_EQ(s.ratio, 0);
  EXPECT_EQ(s.name, "y");
  EXPECT_EQ(s.maybe, false);
  EXPECT_THAT(s.many, ElementsAre(1, 2.5));
  EXPECT_EQ(s.pair[1], 0.4);
  EXPECT_EQ(s.mode, Mode::kSum);
  EXPECT_EQ(s.inner.size, 7);
  EXPECT_THAT(parse(R"({"many": 3, "maybe": null})", true).many, ElementsAre(3));
}

TEST(Schema, StrictBlocksCoerceAsPydanticDoes) {
  EXPECT_EQ(parse(R"({"stage": "2"})", true).stage, 2);
  EXPECT_EQ(parse(R"({"stage": true})", true).stage, 1);
  EXPECT_TRUE(parse(R"({"flag": 1})", true).flag);
  EXPECT_FALSE(parse(R"({"flag": "off"})", true).flag);
  EXPECT_EQ(parse(R"({"ratio": "0.25"})", true).ratio, 0.25);
  EXPECT_EQ(error_in(R"({"bucket": "5e8"})"),
            "bucket must be a whole number > 0: bucket = \"5e8\" at ds.json:1:2");
  EXPECT_THAT(error_in(R"({"bucket": true})"), HasSubstr("bucket must be a whole number > 0"));
}

TEST(Schema, LooseBlocksDoNot) {
  EXPECT_THAT(error_in(R"({"stage": "2"})", false), HasSubstr("stage must be a whole number >= 0 and <= 3"));
  EXPECT_THAT(error_in(R"({"stage": true})", false), HasSubstr("stage must be a whole number"));
  EXPECT_THAT(error_in(R"({"flag": 1})", false),
              HasSubstr("flag must be true or false: flag = 1 at ds.json:1:2"));
}

struct Wrong {
  const char* text;
  const char* message;
};

class WrongValue : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongValue, IsNamedWithItsPlace) {
  EXPECT_THAT(error_in(GetParam().text), HasSubstr(GetParam().message));
  EXPECT_THAT(error_in(GetParam().text), HasSubstr("ds.json:1:"));
}

INSTANTIATE_TEST_SUITE_P(
    Types, WrongValue,
    ::testing::Values(
        Wrong{R"({"stage": 4})", "stage must be a whole number >= 0 and <= 3: stage = 4 at ds.json:1:2"},
        Wrong{R"({"stage": 1.5})", "stage must be a whole number"},
        Wrong{R"({"stage": 1e30})", "stage must be a whole number"},
        Wrong{R"({"bucket": 18446744073709551615})", "bucket must be a whole number > 0"},
        Wrong{R"({"bucket": 0})", "bucket must be a whole number > 0"},
        Wrong{R"({"ratio": 1})", "ratio must be a number >= 0 and < 1"},
        Wrong{R"({"ratio": [1]})", "ratio must be a number"},
        Wrong{R"({"ratio": "inf"})", "ratio must be a number"},
        Wrong{R"({"name": 3})", "name must be a text"},
        Wrong{R"({"name": null})", "name must be text, not null"},
        Wrong{R"({"flag": 2})", "flag must be true or false"}, Wrong{R"({"flag": null})", "not null"},
        Wrong{R"({"many": []})", "many must be a number or a list of numbers"},
        Wrong{R"({"many": [1, "x"]})", "many[1] must be a number: many[1] = \"x\""},
        Wrong{R"({"pair": [1]})", "pair must be a list of two numbers"},
        Wrong{R"({"mode": "summ"})",
              "mode must be one of sum, mean: mode = \"summ\" at ds.json:1:2; did you mean \"sum\"?"},
        Wrong{R"({"inner": 3})", "inner must be an object: inner = 3 at ds.json:1:2"},
        Wrong{R"({"inner": {"size": 0}})",
              "inner.size must be a whole number > 0: inner.size = 0 at ds.json:1:12"}));

TEST(Schema, UnknownKeysAreErrorsWithTheNearestName) {
  EXPECT_EQ(error_in(R"({"stgae": 1})"), "unknown key 'stgae' at ds.json:1:2; did you mean 'stage'?");
  EXPECT_EQ(error_in("{\"inner\": {\n \"siez\": 1}}"),
            "unknown key 'siez' in inner at ds.json:2:2; did you mean 'size'?");
  EXPECT_EQ(error_in(R"({"completely_else": 1})"), "unknown key 'completely_else' at ds.json:1:2");
  EXPECT_THAT(error_in(R"({"flga": 1, "rtio": 2})"),
              HasSubstr("'flag'?; unknown key 'rtio' at ds.json:1:13"));
}

TEST(Schema, AliasesAreTheSameKey) {
  EXPECT_EQ(parse(R"({"stage3_bucket": 9})", true).bucket, 9);
  EXPECT_EQ(error_in(R"({"stage3_bucket": 9, "bucket": 8})"),
            "stage3_bucket = 9 at ds.json:1:2 and bucket = 8 at ds.json:1:22 are two names of one key; keep "
            "'bucket'");
}

TEST(Schema, DeprecatedKeysWarnAndGoToTheirReplacement) {
  Warnings warnings;
  EXPECT_EQ(parse(R"({"old_bucket": 9})", true, &warnings).bucket, 9);
  EXPECT_THAT(warnings, ElementsAre("old_bucket = 9 at ds.json:1:2: this key is deprecated; use 'bucket'"));
  EXPECT_TRUE(parse(R"({"old_flag": true})", true).flag);
  EXPECT_FALSE(parse(R"({"old_flag": false})", true).flag);
  EXPECT_THAT(error_in(R"({"old_bucket": 9, "bucket": 8})"), HasSubstr("both are given, keep 'bucket'"));
  EXPECT_THAT(error_in(R"({"old_bucket": 9, "stage3_bucket": 8})"),
              HasSubstr("both are given, keep 'bucket'"));
  EXPECT_THAT(error_in(R"({"old_bucket": -1})"),
              HasSubstr("bucket must be a whole number > 0: bucket = -1 at ds.json:1:2"));
  warnings.clear();
  parse(R"({"gone": true})", true, &warnings);
  EXPECT_THAT(warnings, ElementsAre("gone = true at ds.json:1:2: this key is deprecated and has no effect"));
}

TEST(Schema, AutoIsDroppedInStrictBlocksAndRefusedElsewhere) {
  Sample s = parse(R"({"stage": "auto", "bucket": "auto", "mode": "auto"})", true);
  EXPECT_EQ(s.stage, 0);
  EXPECT_EQ(s.bucket, 500);
  EXPECT_EQ(error_in(R"({"stage": "auto"})", false),
            "stage = \"auto\" at ds.json:1:2: \"auto\" is not a value of this key; write the value itself, "
            "or leave the "
            "key out");
}

TEST(Schema, RequiredKeysAreAskedFor) {
  Schema<Inner> s("Needs its size.");
  s.field("size", &Inner::size).require().doc("The size.");
  Document document = parse_text("{}", "ds.json");
  Warnings warnings;
  EXPECT_THAT(error_of([&] { s.parse(Node(document), warnings); }), HasSubstr("needs 'size'"));
}

// A table of nothing but rows for features to come.
std::string row_error(const std::vector<NotYetRow>& rows, std::string_view text) {
  Table table;
  add_not_yet_rows(table, rows);
  Document document = parse_text(text, "ds.json");
  Warnings warnings;
  return error_of([&] { table.parse(Node(document), nullptr, warnings); });
}

TEST(NotYetRows, AreTypeCheckedAndRefusedWhenOn) {
  std::vector<NotYetRow> rows{{"a.enabled", "bool", "false", "=", "feature A"},
                              {"a.size", "int>0|auto", "1", "", "feature A"},
                              {"a.kind", "one|two|null", "null", "", "feature A"}};
  EXPECT_EQ(row_error(rows, R"({"a": {"enabled": false, "size": 3, "kind": "Two"}})"), "");
  EXPECT_EQ(row_error(rows, R"({"a": {"size": "auto", "kind": null}})"), "");
  EXPECT_EQ(row_error(rows, R"({"a": {"enabled": true}})"),
            "not available yet: feature A (a.enabled = true at ds.json:1:8)");
  EXPECT_THAT(row_error(rows, R"({"a": {"size": 0}})"),
              HasSubstr("a.size must be one of int>0, auto: a.size = 0"));
  EXPECT_THAT(row_error(rows, R"({"a": {"kind": "tow"}})"), HasSubstr("did you mean \"two\"?"));
  EXPECT_THAT(row_error(rows, R"({"a": {"enable": false}})"),
              HasSubstr("unknown key 'enable' in a at ds.json:1:8"));
  EXPECT_THAT(row_error(rows, R"({"a": 1})"), HasSubstr("a must be an object"));
}

TEST(NotYetRows, MayBeOnByTheirBlocksPresence) {
  std::vector<NotYetRow> rows{{"log.enabled", "bool", "false", "!false", "logging"},
                              {"log.ops", "texts", "[]", "", "logging"}};
  EXPECT_EQ(row_error(rows, "{}"), "");
  EXPECT_EQ(row_error(rows, R"({"log": {"enabled": false}})"), "");
  EXPECT_EQ(row_error(rows, R"({"log": {"ops": ["all_reduce"]}})"),
            "not available yet: logging (log = {\"ops\":[\"all_reduce\"]} at ds.json:1:2)");
}

TEST(NotYetRows, HoldNamesOfTheUsersChoiceAndLists) {
  std::vector<NotYetRow> rows{{"groups.<name>.bits", "int>0", "8", "", "F"},
                              {"specs[].dim", "int", "0", "", "F"}};
  EXPECT_EQ(row_error(rows, R"({"groups": {"x": {"bits": 4}, "y": {}}, "specs": [{"dim": 1}, {}]})"), "");
  EXPECT_THAT(row_error(rows, R"({"groups": {"x": {"bit": 4}}})"),
              HasSubstr("unknown key 'bit' in groups.x"));
  EXPECT_THAT(row_error(rows, R"({"specs": [{"dim": 1.5}]})"),
              HasSubstr("specs[0].dim must be a whole number"));
  EXPECT_THAT(row_error(rows, R"({"specs": {}})"), HasSubstr("specs must be a list"));
}

TEST(NotYetRows, CannotShadowAModulesKey) {
  Table table;
  table.add(Field("a", "int", 1));
  EXPECT_THROW(add_not_yet_rows(table, {{"a", "int", "1", "=", "F"}}), std::logic_error);
}

TEST(NearestName, IsOfferedOnlyWhenItIsNear) {
  EXPECT_EQ(nearest_name("zero_optimisation", {"fp16", "zero_optimization"}), "zero_optimization");
  EXPECT_EQ(nearest_name("fp61", {"fp16", "bf16"}), "fp16");
  EXPECT_EQ(nearest_name("anything", {"fp16", "bf16"}), std::nullopt);
  EXPECT_EQ(nearest_name(std::string(1000, 'x'), {"fp16"}), std::nullopt);
}

}  // namespace
}  // namespace deepspeed::config
