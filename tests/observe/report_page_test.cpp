// The report page: what stands on it and that it stands alone.
#include "deepspeed/observe/report_page.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <regex>

#include "deepspeed/base/env.h"
#include "deepspeed/base/file.h"
#include "deepspeed/observe/chart.h"

namespace deepspeed::observe {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

RunReport sample(int steps) {
  RunReport report{.title = "gpt2, 45.22M parameters",
                   .state = "step 400 of 400, finished",
                   .facts = {{"Model", "models/gpt2"}, {"Ranks", "2"}},
                   .command_line = "ds_train --model models/gpt2 --generate 'a <b> & \"c\"'",
                   .config = "{\n  \"train_batch_size\": 8\n}"};
  for (int i = 1; i <= steps; ++i) {
    const double noise = std::sin(i * 12.9898) * 0.5;
    report.points.push_back({.step = i,
                             .loss = 2 + 5 * std::exp(-i / 80.0) + 0.2 * noise,
                             .lr = 5e-4 * std::min(i / 50.0, 1.0) * (1 - i / (1.1 * steps)),
                             .grad_norm = 1.2 + noise,
                             .tokens_per_s = 12'400 + 900 * noise,
                             .memory_bytes = 1.9e9 + (i > 20 ? 3e8 : 0)});
    if (i % 100 == 0) report.held_out.emplace_back(i, 2.2 + 5 * std::exp(-i / 80.0));
  }
  return report;
}

TEST(ReportPage, FetchesNothingAndRunsNothing) {
  const std::string page = report_page(sample(400));
  EXPECT_THAT(page, Not(HasSubstr("://")));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("url(")));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page, HasSubstr("prefers-color-scheme:dark"));
  // For looking at it.
  if (const auto path = base::env("DS_KEEP_PAGE")) base::write_text_file(*path, page);
}

TEST(ReportPage, EscapesEveryText) {
  RunReport report = sample(3);
  report.title = report.state = report.config = report.facts[0].first = report.facts[0].second =
      "</pre><script>alert('x')</script>&";
  const std::string page = report_page(report);
  EXPECT_THAT(page, Not(HasSubstr("<script>")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;"));
  EXPECT_THAT(page, HasSubstr("a &lt;b&gt; &amp; &quot;c&quot;"));
}

TEST(ReportPage, ShowsAChartForEachQuantityThatIsThere) {
  RunReport report = sample(5);
  EXPECT_THAT(report_page(report), AllOf(HasSubstr(">Loss<"), HasSubstr(">Gradient norm<")));
  for (StepPoint& p : report.points) p.grad_norm.reset();
  EXPECT_THAT(report_page(report), Not(HasSubstr(">Gradient norm<")));
  EXPECT_THAT(report_page({.title = "t"}), HasSubstr("No step was finished"));
}

TEST(Chart, InterruptsTheLineAtValuesThatAreNoNumbers) {
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  const std::string svg = chart_svg({.name = "n", .line = {{1, 1}, {2, nan}, {3, infinity}, {4, 2}, {5, 1}}});
  EXPECT_THAT(svg, AllOf(Not(HasSubstr("nan")), Not(HasSubstr("inf"))));
  const std::string d = svg.substr(svg.find("class=\"line\""));
  EXPECT_EQ(std::ranges::count(d, 'M') - std::ranges::count(d.substr(d.find("/>")), 'M'), 2);
}

// Of a straight line the running mean is that line, but for its ends.
TEST(Chart, SmoothsWithoutLaggingBehind) {
  Chart chart{.name = "n", .smooth = true};
  for (int i = 0; i <= 200; ++i) chart.line.push_back({static_cast<double>(i), static_cast<double>(i)});
  const std::string svg = chart_svg(chart);
  const auto height_at = [&](const char* kind) {
    const size_t path = svg.find(std::string("class=\"") + kind);
    const size_t middle = svg.find("L219.0 ", path);
    return std::stod(svg.substr(middle + 7, 6));
  };
  EXPECT_NEAR(height_at("line"), height_at("raw"), 0.5);
}

TEST(Chart, StaysSmallHoweverLongTheRunIs) {
  Chart chart{.name = "n"};
  for (int i = 0; i < 300'000; ++i) chart.line.push_back({static_cast<double>(i), i == 150'001 ? 99.0 : 1.0});
  const std::string svg = chart_svg(chart);
  EXPECT_LT(svg.size(), 30'000u);
  // The one spike is still drawn: the top of the axis' range less its margin.
  EXPECT_THAT(svg, HasSubstr(" 16.4"));
}

TEST(Chart, DrawsOnePointALevelLineAndNothing) {
  for (const std::vector<ChartPoint>& line :
       {std::vector<ChartPoint>{{7, 3}}, std::vector<ChartPoint>{{1, 0}, {2, 0}},
        std::vector<ChartPoint>{}}) {
    const std::string svg = chart_svg({.name = "n", .line = line});
    EXPECT_FALSE(std::regex_search(svg, std::regex("nan|inf"))) << svg;
  }
}

TEST(Chart, TicksAreRoundAndTellApart) {
  EXPECT_THAT(axis_ticks(0, 10, 5), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(axis_ticks(1.9, 2.6, 5),
              ElementsAre(testing::DoubleEq(2), testing::DoubleEq(2.2), testing::DoubleNear(2.4, 1e-9),
                          testing::DoubleNear(2.6, 1e-9)));
  EXPECT_EQ(axis_number(0, 1), "0");
  EXPECT_EQ(axis_number(0.25, 0.05), "0.25");
  EXPECT_EQ(axis_number(2, 0.5), "2.0");
  EXPECT_EQ(axis_number(2e-4, 1e-4), "2e-4");
  EXPECT_EQ(axis_number(1.5e-3, 5e-4), "1.5e-3");
  EXPECT_EQ(axis_number(5'000, 5'000), "5k");
  EXPECT_EQ(axis_number(1'500, 500), "1500");
  EXPECT_EQ(axis_number(12'000, 2'000), "12k");
  EXPECT_EQ(axis_number(12'500, 500), "12.5k");
  EXPECT_EQ(axis_number(1'500'000, 500'000), "1.5M");
}

}  // namespace
}  // namespace deepspeed::observe
