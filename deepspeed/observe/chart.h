// A line chart as SVG text.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace deepspeed::observe {

struct ChartPoint {
  double x = 0, y = 0;
};

struct Chart {
  std::string name;              // for readers that do not see it
  std::vector<ChartPoint> line;  // in rising order of x; a y that is not finite interrupts it
  std::vector<ChartPoint> dots;  // marked points
  bool smooth = false;           // of many points, a running mean in front and the points behind it
  bool from_zero = false;        // the y axis starts at 0
  std::function<std::string(double y, double spacing)> label;  // of the y axis' ticks; empty: axis_number
};

/// <svg>...</svg> 400 by 210 units wide and high, coloured by the classes axis, grid, line, raw, dot and
/// tick.
std::string chart_svg(const Chart& chart);

/// Ticks at 1, 2 or 5 times a power of ten, about `count` of them, within [low, high].
std::vector<double> axis_ticks(double low, double high, int count);
/// A tick's text, as many digits as tell ticks `spacing` apart: "0", "0.25", "2e-4", "12k", "1.5M".
std::string axis_number(double value, double spacing);

}  // namespace deepspeed::observe
