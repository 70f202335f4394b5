// The page that shows a training run: one self-contained HTML file with charts as inline SVG, light and dark,
// without scripts and without anything fetched from elsewhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace deepspeed::observe {

/// What is known of one optimizer step; values that are no finite numbers leave gaps.
struct StepPoint {
  int64_t step = 0;
  double loss = 0, lr = 0;
  std::optional<double> grad_norm;
  double tokens_per_s = 0;
  double memory_bytes = 0;  // resident on all ranks
};

struct RunReport {
  std::string title;                                       // "gpt2, 12.3M parameters"
  std::string state;                                       // "finished", "stopped at step 40 of 100"
  std::vector<std::pair<std::string, std::string>> facts;  // shown as a table
  std::string command_line, config;                        // shown as they are
  std::vector<StepPoint> points;                           // in rising order of steps
  std::vector<std::pair<int64_t, double>> held_out;        // (step, loss)
};

/// The page, UTF-8. All texts are escaped.
std::string report_page(const RunReport& report);

/// Text that stands for itself in HTML content and attributes.
std::string escape_html(const std::string& text);

}  // namespace deepspeed::observe
