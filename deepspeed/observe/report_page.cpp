#include "deepspeed/observe/report_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "deepspeed/observe/chart.h"

namespace deepspeed::observe {
namespace {

constexpr double kGigabyte = 1 << 30;

constexpr const char* kHead = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
)";

constexpr const char* kStyle = R"(<style>
:root{--page:#fff;--card:#f6f7f9;--edge:#d9dde3;--text:#1c2128;--dim:#59636e;--line:#0a5fd0;--dot:#c2410c}
@media(prefers-color-scheme:dark){:root{--page:#14171b;--card:#1d2127;--edge:#343b45;--text:#e6e9ed;--dim:#9aa4b0;--line:#6cb0ff;--dot:#ffa657}}
*{box-sizing:border-box}
body{margin:0 auto;padding:24px 16px 48px;max-width:1240px;background:var(--page);color:var(--text);font:15px/1.45 system-ui,sans-serif}
h1{font-size:1.5rem;margin:0;overflow-wrap:anywhere}
h2{font-size:1rem;margin:0}
.state{color:var(--dim);margin:4px 0 16px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:16px}
figure{margin:0;padding:12px;background:var(--card);border:1px solid var(--edge);border-radius:8px;min-width:0}
figcaption{display:flex;flex-wrap:wrap;justify-content:space-between;align-items:baseline;gap:0 12px;margin-bottom:6px}
figcaption span{color:var(--dim);font-variant-numeric:tabular-nums}
svg{display:block;width:100%;height:auto;overflow:visible}
.grid{stroke:var(--edge);fill:none}.axis{stroke:var(--dim);fill:none}
.line,.raw{stroke:var(--line);fill:none;stroke-linejoin:round;stroke-linecap:round}
.line{stroke-width:1.6}.raw{stroke-width:1;opacity:.35}.dot{fill:var(--dot)}
.tick{fill:var(--dim);font:11px system-ui,sans-serif}
@media(max-width:420px){.tick{font-size:14px}}
i.dot{display:inline-block;width:8px;height:8px;border-radius:4px;background:var(--dot)}
table{border-collapse:collapse;margin:24px 0}
th,td{text-align:left;vertical-align:top;padding:3px 24px 3px 0;overflow-wrap:anywhere}
th{font-weight:400;color:var(--dim);white-space:nowrap}
pre{background:var(--card);border:1px solid var(--edge);border-radius:8px;padding:12px;overflow-x:auto;font:13px/1.4 ui-monospace,monospace}
pre.wrap{white-space:pre-wrap;overflow-wrap:anywhere}
.none{color:var(--dim)}
</style></head><body>
)";

std::string short_number(double value) {
  if (!std::isfinite(value)) return "not a number";
  const double size = std::abs(value);
  if (size == 0) return "0";
  if (size >= 1e4) return axis_number(value, size / 100);
  return size < 1e-2 ? axis_number(value, size / 100) : fmt::format("{:.4g}", value);
}

std::string memory_number(double bytes) { return fmt::format("{:.2f} GB", bytes / kGigabyte); }

std::string gigabyte_tick(double value, double spacing) {
  return value == 0 ? "0" : axis_number(value, spacing) + " GB";
}

struct Panel {
  std::string title, note;
  Chart chart;
};

std::string figure(const Panel& panel) {
  return fmt::format("<figure><figcaption><h2>{}</h2><span>{}</span></figcaption>\n{}</figure>\n",
                     panel.title, panel.note, chart_svg(panel.chart));
}

template <class Value>
std::vector<ChartPoint> line_of(const std::vector<StepPoint>& points, Value value) {
  std::vector<ChartPoint> line;
  for (const StepPoint& p : points) line.push_back({static_cast<double>(p.step), value(p)});
  return line;
}

std::string last(const std::vector<ChartPoint>& line) { return "last " + short_number(line.back().y); }

std::vector<Panel> panels(const RunReport& report) {
  const auto& points = report.points;
  std::vector<Panel> out;
  Panel loss{
      .title = "Loss",
      .chart = {
          .name = "Loss by step", .line = line_of(points, [](auto& p) { return p.loss; }), .smooth = true}};
  loss.note = last(loss.chart.line);
  for (const auto& [step, value] : report.held_out)
    loss.chart.dots.push_back({static_cast<double>(step), value});
  if (!report.held_out.empty())
    loss.note +=
        fmt::format(", <i class=\"dot\"></i> held out {}", short_number(report.held_out.back().second));
  out.push_back(std::move(loss));

  Panel lr{.title = "Learning rate",
           .chart = {.name = "Learning rate by step",
                     .line = line_of(points, [](auto& p) { return p.lr; }),
                     .from_zero = true}};
  lr.note = last(lr.chart.line);
  out.push_back(std::move(lr));

  const double absent = std::numeric_limits<double>::quiet_NaN();
  if (std::ranges::any_of(points, [](auto& p) { return p.grad_norm.has_value(); })) {
    Panel norm{.title = "Gradient norm",
               .chart = {.name = "Gradient norm by step",
                         .line = line_of(points, [&](auto& p) { return p.grad_norm.value_or(absent); }),
                         .smooth = true,
                         .from_zero = true}};
    norm.note = last(norm.chart.line);
    out.push_back(std::move(norm));
  }
  Panel speed{.title = "Tokens a second",
              .chart = {.name = "Tokens a second by step",
                        .line = line_of(points, [](auto& p) { return p.tokens_per_s; }),
                        .smooth = true,
                        .from_zero = true}};
  std::vector<double> sorted;
  for (const auto& p : speed.chart.line) sorted.push_back(p.y);
  std::ranges::nth_element(sorted, sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2));
  speed.note = "median " + short_number(sorted[sorted.size() / 2]);
  out.push_back(std::move(speed));

  Panel memory{.title = "Peak memory, all ranks",
               .chart = {.name = "Peak resident memory by step",
                         .line = line_of(points, [](auto& p) { return p.memory_bytes / kGigabyte; }),
                         .from_zero = true,
                         .label = gigabyte_tick}};
  memory.note = memory_number(points.back().memory_bytes);
  out.push_back(std::move(memory));
  return out;
}

}  // namespace

std::string escape_html(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string report_page(const RunReport& report) {
  const std::string title = escape_html(report.title);
  std::string out = kHead + fmt::format("<title>{}</title>\n", title) + kStyle;
  out += fmt::format("<h1>{}</h1>\n<p class=\"state\">{}</p>\n", title, escape_html(report.state));
  if (report.points.empty()) {
    out += "<p class=\"none\">No step was finished.</p>\n";
  } else {
    out += "<div class=\"charts\">\n";
    for (const Panel& panel : panels(report)) out += figure(panel);
    out += "</div>\n";
  }
  out += "<table>\n";
  for (const auto& [name, value] : report.facts)
    out +=
        fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escape_html(name), escape_html(value));
  out += fmt::format(
      "</table>\n<h2>Command line</h2>\n<pre class=\"wrap\">{}</pre>\n<h2>Configuration</h2>\n<pre>{}</pre>\n"
      "</body></html>\n",
      escape_html(report.command_line), escape_html(report.config));
  return out;
}

}  // namespace deepspeed::observe
