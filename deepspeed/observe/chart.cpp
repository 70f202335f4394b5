#include "deepspeed/observe/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace deepspeed::observe {
namespace {

constexpr double kWidth = 400, kHeight = 210;
constexpr double kLeft = 48, kRight = 390, kTop = 10, kBottom = 184;
constexpr size_t kMostPoints = 1000;   // drawn; more than twice the pixels would not show
constexpr size_t kSmoothFrom = 80;     // points
constexpr double kSmoothWindows = 40;  // the running mean follows a 40th of the run

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

struct Frame {
  Range x, y;
  double left(double value) const { return kLeft + (value - x.low) / (x.high - x.low) * (kRight - kLeft); }
  double top(double value) const { return kBottom - (value - y.low) / (y.high - y.low) * (kBottom - kTop); }
};

Frame frame_of(const Chart& chart) {
  Frame frame;
  for (const auto* points : {&chart.line, &chart.dots})
    for (const ChartPoint& p : *points) {
      if (!std::isfinite(p.y)) continue;
      frame.x.add(p.x);
      frame.y.add(p.y);
    }
  if (frame.y.empty()) frame.x = frame.y = {0, 1};
  if (chart.from_zero) frame.y.add(0);
  const double room = frame.y.high - frame.y.low;
  // A level line gets an axis around it.
  const double margin = room > 0 ? room * 0.04 : std::max(std::abs(frame.y.high) * 0.1, 1e-12);
  frame.y.high += margin;
  if (!chart.from_zero) frame.y.low -= margin;
  if (frame.x.low == frame.x.high) frame.x = {frame.x.low - 1, frame.x.high + 1};
  return frame;
}

// Of each run of points the least and the greatest, in their order: spikes stay.
std::vector<ChartPoint> thinned(const std::vector<ChartPoint>& points) {
  if (points.size() <= kMostPoints) return points;
  const size_t bins = kMostPoints / 2;
  std::vector<ChartPoint> out;
  for (size_t bin = 0; bin < bins; ++bin) {
    const auto begin = points.begin() + static_cast<std::ptrdiff_t>(bin * points.size() / bins);
    const auto end = points.begin() + static_cast<std::ptrdiff_t>((bin + 1) * points.size() / bins);
    auto below = [](const ChartPoint& a, const ChartPoint& b) { return a.y < b.y; };
    if (std::any_of(begin, end, [](const ChartPoint& p) { return !std::isfinite(p.y); })) {
      out.push_back({begin->x, std::numeric_limits<double>::quiet_NaN()});
      continue;
    }
    auto [least, greatest] = std::minmax_element(begin, end, below);
    out.push_back(*std::min(least, greatest));
    if (least != greatest) out.push_back(*std::max(least, greatest));
  }
  return out;
}

// Exponential means from both sides, which together do not lag behind a slope.
std::vector<ChartPoint> running_mean(const std::vector<ChartPoint>& points) {
  std::vector<ChartPoint> out;
  for (const ChartPoint& p : points)
    if (std::isfinite(p.y)) out.push_back(p);
  const double keep = 1 - kSmoothWindows / static_cast<double>(points.size());
  std::vector<double> sums(out.size()), weights(out.size());
  const auto sweep = [&](auto index) {
    double sum = 0, weight = 0;
    for (size_t i = 0; i < out.size(); ++i) {
      sum = keep * sum + out[index(i)].y;
      weight = keep * weight + 1;
      sums[index(i)] += sum;
      weights[index(i)] += weight;
    }
  };
  sweep([](size_t i) { return i; });
  sweep([&](size_t i) { return out.size() - 1 - i; });
  for (size_t i = 0; i < out.size(); ++i) out[i].y = sums[i] / weights[i];
  return out;
}

std::string path(const Frame& frame, const std::vector<ChartPoint>& points, const char* kind) {
  std::string d;
  bool pen_up = true;
  for (const ChartPoint& p : thinned(points)) {
    if (!std::isfinite(p.y)) {
      pen_up = true;
      continue;
    }
    d += fmt::format("{}{:.1f} {:.1f}", pen_up ? 'M' : 'L', frame.left(p.x), frame.top(p.y));
    if (pen_up) d += "h0";  // shows a point that stands alone
    pen_up = false;
  }
  return d.empty() ? "" : fmt::format("<path class=\"{}\" d=\"{}\"/>", kind, d);
}

std::string axes(const Frame& frame, const Chart& chart) {
  std::string out;
  const auto ys = axis_ticks(frame.y.low, frame.y.high, 5);
  const double y_spacing = ys.size() > 1 ? ys[1] - ys[0] : frame.y.high - frame.y.low;
  for (const double y : ys)
    out += fmt::format(
        "<path class=\"grid\" d=\"M{} {:.1f}H{}\"/><text class=\"tick\" x=\"{}\" y=\"{:.1f}\" "
        "text-anchor=\"end\">{}</text>",
        kLeft, frame.top(y), kRight, kLeft - 6, frame.top(y) + 4,
        chart.label ? chart.label(y, y_spacing) : axis_number(y, y_spacing));
  auto xs = axis_ticks(frame.x.low, frame.x.high, 5);
  std::erase_if(xs, [](double x) { return x != std::floor(x); });
  const double x_spacing = xs.size() > 1 ? xs[1] - xs[0] : 1;
  for (const double x : xs)
    out +=
        fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"{}\">{}</text>", frame.left(x),
                    kBottom + 16, frame.left(x) > kRight - 12 ? "end" : "middle", axis_number(x, x_spacing));
  if (xs.empty() || frame.left(xs.front()) > kLeft + 40)
    out += fmt::format("<text class=\"tick\" x=\"{}\" y=\"{}\">step</text>", kLeft, kBottom + 16);
  return out + fmt::format("<path class=\"axis\" d=\"M{} {}H{}\"/>", kLeft, kBottom, kRight);
}

std::string with_unit(double value, double spacing, double unit, const char* name) {
  const int digits = std::clamp(static_cast<int>(std::ceil(-std::log10(spacing / unit) - 1e-9)), 0, 6);
  return fmt::format("{:.{}f}{}", value / unit, digits, name);
}

}  // namespace

std::vector<double> axis_ticks(double low, double high, int count) {
  const double rough = (high - low) / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double spacing = 10 * power;
  for (const double step : {1.0, 2.0, 5.0})
    if (step * power >= rough * (1 - 1e-9)) {
      spacing = step * power;
      break;
    }
  std::vector<double> ticks;
  for (double i = std::ceil(low / spacing - 1e-9); i * spacing <= high + 1e-9 * spacing; ++i)
    ticks.push_back(i == 0 ? 0 : i * spacing);
  return ticks;
}

std::string axis_number(double value, double spacing) {
  const double size = std::abs(value);
  if (size < spacing / 1000) return "0";
  if (size >= 1e15) return fmt::format("{:.3g}", value);
  if (size >= 1e9) return with_unit(value, spacing, 1e9, "G");
  if (size >= 1e6) return with_unit(value, spacing, 1e6, "M");
  if (size >= 1e4 || (size >= 1e3 && spacing >= 1e3)) return with_unit(value, spacing, 1e3, "k");
  if (size < 1e-2) {
    const double exponent = std::floor(std::log10(size) + 1e-9);
    return fmt::format("{:.3g}e{:.0f}", value / std::pow(10, exponent), exponent);
  }
  return with_unit(value, spacing, 1, "");
}

std::string chart_svg(const Chart& chart) {
  const Frame frame = frame_of(chart);
  const bool smooth = chart.smooth && chart.line.size() >= kSmoothFrom;
  std::string out =
      fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", kWidth, kHeight, chart.name);
  out += axes(frame, chart);
  out += path(frame, chart.line, smooth ? "raw" : "line");
  if (smooth) out += path(frame, running_mean(chart.line), "line");
  for (const ChartPoint& p : chart.dots)
    if (std::isfinite(p.y))
      out += fmt::format("<circle class=\"dot\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"/>", frame.left(p.x),
                         frame.top(p.y));
  return out + "</svg>";
}

}  // namespace deepspeed::observe
