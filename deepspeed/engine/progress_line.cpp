#include "deepspeed/engine/progress_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace deepspeed::engine {
namespace {

constexpr int kWidestBar = 30, kNarrowestBar = 8;

std::string duration(double seconds) {
  const auto s = static_cast<int64_t>(std::max(0.0, seconds));
  return s >= 3600 ? fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
                   : fmt::format("{}:{:02}", s / 60, s % 60);
}

}  // namespace

std::string progress_line(const StepRecord& r, int64_t last_step, double left_s, int columns) {
  const std::string steps = fmt::format("{}/{}", r.step, last_step),
                    loss = fmt::format("  loss {:.4f}", r.loss), lr = fmt::format("  lr {:.2e}", r.lr),
                    speed = fmt::format("  {:.0f} tokens/s", tokens_per_second(r)),
                    left = "  ETA " + duration(left_s);
  const auto room = static_cast<size_t>(std::max(columns - 1, 0));
  for (const std::string& text :
       {steps + loss + lr + speed + left, steps + loss + speed + left, steps + loss + left, steps + left}) {
    if (text.size() > room) continue;
    const int bar = std::min(static_cast<int>(room - text.size()) - 3, kWidestBar);
    if (bar < kNarrowestBar) return text;
    const double done = last_step > 0 ? static_cast<double>(r.step) / static_cast<double>(last_step) : 1;
    const auto filled = static_cast<int>(std::lround(std::clamp(done, 0.0, 1.0) * bar));
    return fmt::format("[{:=<{}}{: <{}}] {}", "", filled, "", bar - filled, text);
  }
  return steps.substr(0, room);
}

}  // namespace deepspeed::engine
