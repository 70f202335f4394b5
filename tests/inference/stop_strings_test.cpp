#include "deepspeed/inference/stop_strings.h"

#include <gmock/gmock.h>

#include <random>

namespace deepspeed::inference {
namespace {

struct Cut {
  std::string text;
  std::optional<size_t> found;
};

// The definition: the first place at which some string is complete, the longest of those.
Cut obvious(const std::string& text, const std::vector<std::string>& strings) {
  for (size_t end = 1; end <= text.size(); ++end) {
    std::optional<size_t> found;
    for (size_t i = 0; i < strings.size(); ++i)
      if (text.substr(0, end).ends_with(strings[i]) && (!found || strings[i].size() > strings[*found].size()))
        found = i;
    if (found) return {text.substr(0, end - strings[*found].size()), found};
  }
  return {text, std::nullopt};
}

TEST(StopStrings, AreFoundOverTheBordersOfPieces) {
  StopFinder finder(std::make_shared<StopStrings>(std::vector<std::string>{"STOP"}));
  EXPECT_EQ(finder.push("no S"), "no ");
  EXPECT_EQ(finder.push("T"), "");
  EXPECT_EQ(finder.push("AS"), "STA");
  EXPECT_EQ(finder.push("TO"), "");
  EXPECT_FALSE(finder.found());
  EXPECT_EQ(finder.push("P and more"), "");
  EXPECT_EQ(finder.found(), 0u);
  EXPECT_EQ(finder.push("even more"), "");
  EXPECT_EQ(finder.finish(), "");
}

TEST(StopStrings, WhatWasHeldBackComesAtTheEnd) {
  StopFinder finder(std::make_shared<StopStrings>(std::vector<std::string>{"aab"}));
  EXPECT_EQ(finder.push("xaa"), "x");
  EXPECT_EQ(finder.push("a"), "a");
  EXPECT_EQ(finder.finish(), "aa");
}

TEST(StopStrings, TheFirstThatIsCompleteEndsTheTextHoweverItIsCut) {
  const std::vector<std::string> strings = {"abcd", "bc", "abc"};
  for (const std::vector<std::string>& pieces :
       {std::vector<std::string>{"xabcd"}, {"x", "a", "b", "c", "d"}, {"xab", "cd"}, {"xa", "bcd"}}) {
    StopFinder finder(std::make_shared<StopStrings>(strings));
    std::string text;
    for (const std::string& piece : pieces) text += finder.push(piece);
    EXPECT_EQ(text, "x");
    EXPECT_EQ(finder.found(), 2u) << "of two that end together the longer";
  }
}

TEST(StopStrings, RandomTextsAreCutAsTheDefinitionSaysAndNothingIsTakenBack) {
  std::mt19937 engine(7);
  const auto random_text = [&](size_t most) {
    std::string text(1 + engine() % most, 'a');
    for (char& c : text) c = static_cast<char>('a' + engine() % 2);
    return text;
  };
  size_t stopped = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> strings(1 + engine() % 4);
    for (std::string& s : strings) s = random_text(7) + random_text(3);
    const std::string text = random_text(60);
    StopFinder finder(std::make_shared<StopStrings>(strings));
    const Cut want = obvious(text, strings);
    std::string told;
    for (size_t at = 0; at < text.size();) {
      const size_t length = std::min<size_t>(engine() % 6, text.size() - at);
      told += finder.push(std::string_view(text).substr(at, length));
      EXPECT_TRUE(want.text.starts_with(told)) << "told too much of " << text;
      at += length;
    }
    told += finder.finish();
    EXPECT_EQ(told, want.text) << text;
    EXPECT_EQ(finder.found().has_value(), want.found.has_value());
    if (want.found) {
      EXPECT_EQ(strings[*finder.found()], strings[*want.found]);
    }
    stopped += want.found.has_value();
  }
  EXPECT_GT(stopped, 500u);
  EXPECT_LT(stopped, 2500u);
}

TEST(StopStrings, WithoutAnyNothingIsHeldBack) {
  StopFinder finder(std::make_shared<StopStrings>(std::vector<std::string>{}));
  EXPECT_EQ(finder.push("all of it"), "all of it");
}

TEST(StopStrings, CopiesGoTheirOwnWay) {
  StopFinder first(std::make_shared<StopStrings>(std::vector<std::string>{"end"}));
  first.push("en");
  StopFinder second = first;
  EXPECT_EQ(first.push("d"), "");
  EXPECT_TRUE(first.found());
  EXPECT_EQ(second.push("x"), "enx");
  EXPECT_FALSE(second.found());
}

}  // namespace
}  // namespace deepspeed::inference
