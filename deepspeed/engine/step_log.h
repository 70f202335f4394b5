// Rank 0's account of a run: one JSON line a step for programs, a progress bar or plain lines for people.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

namespace deepspeed::engine {

struct StepRecord {
  int64_t step = 0;  // counted from 1
  double loss = 0;   // mean over all samples of the step
  double lr = 0;     // get_lr() after the step
  std::optional<double> grad_norm;
  double loss_scale = 1;
  int64_t skipped = 0;  // steps skipped so far
  int64_t tokens = 0;   // of this step over all ranks
  double step_ms = 0;
  int64_t rss_bytes = 0, rss_bytes_all_ranks = 0;  // peak resident: this rank's, and the sum over ranks
  int64_t device_bytes = 0;             // most device memory that this rank's tensors held; 0 on the CPU
  std::optional<double> eval_loss;      // mean over the held-out predictions, where this step was evaluated
  std::optional<double> eval_accuracy;  // likewise, of classifiers: a share, not a perplexity
  std::optional<double> start_s;        // from exec of `deepspeed` to the first forward; first line only
};

/// Any NaN as the one without a sign, which prints as "nan" everywhere (what processors make is negative).
double plain_nan(double value);

double tokens_per_second(const StepRecord& record);

class StepLog {
 public:
  /// `jsonl` may be empty. `last_step` is where the bar is full. Resuming (`append`) adds lines to the file.
  StepLog(const std::filesystem::path& jsonl, int64_t last_step, bool quiet, bool append);
  ~StepLog();
  void add(const StepRecord& record);
  /// A line of text that must not be mixed up with the bar.
  void say(const std::string& text);

 private:
  void draw_bar(const StepRecord& record);
  void print_line(const StepRecord& record);

  std::ofstream file_;
  std::filesystem::path path_;
  int64_t first_step_ = 0, last_step_;
  bool quiet_, terminal_, bar_drawn_ = false;
  std::chrono::steady_clock::time_point started_, printed_;
};

}  // namespace deepspeed::engine
