#include "deepspeed/data/open_sequences.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

#include "deepspeed/base/error.h"

namespace deepspeed::data {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class OpenSequences : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("ds_sequences_{}", ::getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }
  static const text::Tokenizer& tokenizer() {
    static const auto made =
        text::Tokenizer::from_file(fs::path(DS_SOURCE_DIR) / "tests/text/goldens/bert.json");
    return made;
  }
  static SequenceOptions options(int64_t length = 12) {
    return {.length = length,
            .vocab = 2000,
            .token_types = 2,
            .padding = 0,
            .classes = 3,
            .class_names = {"bad", "fair", "good"},
            .tokenizer = tokenizer};
  }
  std::string error_of(const std::string& name, const std::string& text,
                       const SequenceOptions& options) const {
    try {
      open_sequences(write(name, text), options);
    } catch (const base::Error& error) {
      return error.what();
    }
    return "none";
  }

  fs::path folder_;
};

TEST_F(OpenSequences, TextsBecomeTokensBetweenBeginAndEndWithPadding) {
  const auto read = open_sequences(write("d.tsv", "In the beginning\tgood\n"), options(20));
  const auto sample = read.dataset->get(0);
  const auto wanted = tokenizer().encode("In the beginning").ids;  // [CLS] ... [SEP]
  const auto count = static_cast<int64_t>(wanted.size());
  ASSERT_LT(count, 20);
  for (int64_t t = 0; t < 20; ++t)
    EXPECT_EQ(sample[0][t].item<int64_t>(), t < count ? wanted[static_cast<size_t>(t)] : 0);
  EXPECT_EQ(sample[1].item<int64_t>(), 2);
  EXPECT_EQ(sample[1].scalar_type(), at::kLong);
  EXPECT_EQ(sample[2].sum().item<int64_t>(), 0);
  EXPECT_EQ(sample[3].item<int64_t>(), count);
}

TEST_F(OpenSequences, SecondTextsHaveTypeOneAndTheLongerTextLosesItsEndFirst) {
  const auto read = open_sequences(
      write("d.jsonl",
            R"({"text": "god", "text_pair": "god god god god god god god god god god god god", "label": 0})"),
      options());
  const auto sample = read.dataset->get(0);
  EXPECT_THAT(read.note, HasSubstr("1 of 1 sequences cut"));
  EXPECT_EQ(sample[3].item<int64_t>(), 12);
  const int64_t end = *tokenizer().token_to_id("[SEP]");
  const auto firsts = static_cast<int64_t>(tokenizer().encode("god").ids.size());
  EXPECT_EQ(sample[0][firsts - 1].item<int64_t>(), end);
  EXPECT_EQ(sample[0][11].item<int64_t>(), end);
  EXPECT_EQ(sample[2].narrow(0, 0, firsts).sum().item<int64_t>(), 0);
  EXPECT_EQ(sample[2].narrow(0, firsts, 12 - firsts).sum().item<int64_t>(), 12 - firsts);
}

TEST_F(OpenSequences, OneLabelIsAValue) {
  SequenceOptions o = options();
  o.kind = LabelKind::kValue;
  const auto sample = open_sequences(write("d.tsv", "god\t-1.5\n"), o).dataset->get(0);
  EXPECT_EQ(sample[1].scalar_type(), at::kFloat);
  EXPECT_EQ(sample[1].item<float>(), -1.5f);
  EXPECT_THAT(error_of("d.tsv", "god\tgood\n", o), HasSubstr("'good' is not a number"));
  EXPECT_THAT(error_of("d.tsv", "god\tnan\n", o), HasSubstr("d.tsv:1: label 'nan' is not a number"));
  EXPECT_THAT(error_of("d.tsv", "god\t-1e39\n", o), HasSubstr("d.tsv:1: label -1e+39 is too large"));
}

TEST_F(OpenSequences, TokenLinesAreTakenAsTheyAreAndCutAtTheEnd) {
  SequenceOptions o = options(3);
  o.kind = LabelKind::kTokens;
  o.classes = o.vocab;
  const auto path =
      write("d.jsonl",
            R"({"input_ids": [5, 6, 7, 8], "labels": [-100, 9, -100, 10], "token_type_ids": [0, 1, 1, 1]})"
            "\n"
            R"({"input_ids": [4], "labels": [4]})");
  EXPECT_TRUE(brings_tokens(path));
  const auto read = open_sequences(path, o);
  EXPECT_TRUE(read.dataset->get(0)[0].equal(at::tensor({5, 6, 7}, at::kLong)));
  EXPECT_TRUE(read.dataset->get(0)[1].equal(at::tensor({-100, 9, -100}, at::kLong)));
  EXPECT_TRUE(read.dataset->get(0)[2].equal(at::tensor({0, 1, 1}, at::kLong)));
  EXPECT_TRUE(read.dataset->get(1)[1].equal(at::tensor({4, -100, -100}, at::kLong)));
  EXPECT_EQ(read.dataset->get(1)[3].item<int64_t>(), 1);
  EXPECT_FALSE(brings_tokens(write("e.jsonl", R"({"text": "a", "label": 1})")));
}

TEST_F(OpenSequences, SaysWhichLineHasWhatIsWrong) {
  EXPECT_THAT(error_of("d.tsv", "god\t0\ngod\t3\n", options()), HasSubstr("d.tsv:2: label 3 is none of"));
  EXPECT_THAT(error_of("d.tsv", "god\tugly\n", options()), HasSubstr("'ugly'"));
  EXPECT_THAT(error_of("d.tsv", "god\t0.5\n", options()), HasSubstr("label 0.500 is a fraction"));
  EXPECT_THAT(error_of("d.tsv", "god\t1.0\n", options()),
              HasSubstr("label 1.00 is a fraction; write a class as"));
  EXPECT_THAT(error_of("d.tsv", "\n", options()), HasSubstr("holds no sequence"));
  EXPECT_THAT(error_of("d.txt", "god", options()), HasSubstr(".jsonl or .tsv"));
  EXPECT_THAT(error_of("d.jsonl", R"({"input_ids": [2000], "label": 0})", options()),
              HasSubstr("outside 0 ... 1999"));
  EXPECT_THAT(error_of("d.jsonl", R"({"input_ids": [1], "labels": [0]})", options()), HasSubstr("one label"));
  SequenceOptions tokens = options();
  tokens.kind = LabelKind::kTokens;
  EXPECT_THAT(error_of("d.jsonl", R"({"input_ids": [1], "label": 0})", tokens), HasSubstr("every token"));
  EXPECT_THAT(error_of("d.jsonl", R"({"input_ids": [1], "labels": [-5]})", tokens),
              HasSubstr("\"labels\" holds -5"));
  EXPECT_THAT(error_of("d.tsv", "god\t0\n", options(2)), HasSubstr("no room"));
}

TEST(LongestFirst, IsThatOfTokenizers) {
  // (first, second, room) -> what tokenizers 0.23.3 keeps with strategy longest_first.
  EXPECT_EQ(longest_first(3, 4, 10), (std::pair<size_t, size_t>(3, 4)));
  EXPECT_EQ(longest_first(3, 20, 10), (std::pair<size_t, size_t>(3, 7)));
  EXPECT_EQ(longest_first(20, 3, 10), (std::pair<size_t, size_t>(7, 3)));
  EXPECT_EQ(longest_first(8, 8, 9), (std::pair<size_t, size_t>(4, 5)));
  EXPECT_EQ(longest_first(20, 12, 9), (std::pair<size_t, size_t>(5, 4)));
}

}  // namespace
}  // namespace deepspeed::data
