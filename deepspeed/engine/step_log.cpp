#include "deepspeed/engine/step_log.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"
#include "deepspeed/engine/progress_line.h"

namespace deepspeed::engine {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kLineInterval = std::chrono::seconds(2);  // between plain lines

// Columns of the terminal; 80 where it does not say.
int terminal_columns() {
  struct winsize size {};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

double plain_nan(double value) {
  return std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value;
}

double tokens_per_second(const StepRecord& r) {
  return r.step_ms > 0 ? static_cast<double>(r.tokens) / r.step_ms * 1e3 : 0;
}

StepLog::StepLog(const std::filesystem::path& jsonl, int64_t last_step, bool quiet, bool append)
    : path_(jsonl), last_step_(last_step), quiet_(quiet), started_(Clock::now()) {
  terminal_ =
      ::isatty(STDERR_FILENO) != 0 && !base::env("NO_COLOR") && base::env("TERM").value_or("dumb") != "dumb";
  if (jsonl.empty()) return;
  DS_CHECK(!std::filesystem::is_fifo(jsonl), "the log '{}' is a pipe: give a file", jsonl.string());
  file_.open(jsonl, append ? std::ios::app : std::ios::trunc);
  DS_CHECK(file_.good(), "cannot write the log '{}'", jsonl.string());
}

StepLog::~StepLog() {
  if (bar_drawn_) std::fputs("\n", stderr);
}

void StepLog::add(const StepRecord& r) {
  if (first_step_ == 0) first_step_ = r.step;
  if (file_.is_open()) {
    nlohmann::ordered_json line = {
        {"step", r.step},
        {"loss", r.loss},
        {"lr", r.lr},
        {"grad_norm", r.grad_norm ? nlohmann::ordered_json(*r.grad_norm) : nlohmann::ordered_json()},
        {"loss_scale", r.loss_scale},
        {"skipped", r.skipped},
        {"tokens", r.tokens},
        {"tokens_per_s", tokens_per_second(r)},
        {"step_ms", r.step_ms},
        {"rss_bytes", r.rss_bytes},
        {"rss_bytes_all_ranks", r.rss_bytes_all_ranks},
        {"device_bytes", r.device_bytes}};
    if (r.eval_loss) {
      line["eval_loss"] = *r.eval_loss;
      if (r.eval_accuracy)
        line["eval_accuracy"] = *r.eval_accuracy;
      else
        line["eval_perplexity"] = std::exp(*r.eval_loss);
    }
    if (r.start_s) line["start_s"] = *r.start_s;
    file_ << line.dump() << '\n' << std::flush;
    DS_CHECK(file_.good(), "cannot write the log '{}': is the disk full?", path_.string());
  }
  if (quiet_) return;
  if (terminal_)
    draw_bar(r);
  else
    print_line(r);
}

void StepLog::draw_bar(const StepRecord& r) {
  const double elapsed = std::chrono::duration<double>(Clock::now() - started_).count();
  const double left =
      elapsed / static_cast<double>(r.step - first_step_ + 1) * static_cast<double>(last_step_ - r.step);
  std::fputs(("\r\033[K" + progress_line(r, last_step_, left, terminal_columns())).c_str(), stderr);
  std::fflush(stderr);
  bar_drawn_ = true;
}

void StepLog::print_line(const StepRecord& r) {
  const auto now = Clock::now();
  if (r.step != first_step_ && r.step != last_step_ && now - printed_ < kLineInterval) return;
  printed_ = now;
  std::fputs(
      fmt::format("step {}/{}  loss {:.4f}  lr {:.3e}  grad norm {}  {:.0f} tokens/s\n", r.step, last_step_,
                  r.loss, r.lr, r.grad_norm ? fmt::format("{:.3f}", *r.grad_norm) : "-", tokens_per_second(r))
          .c_str(),
      stderr);
}

void StepLog::say(const std::string& text) {
  if (bar_drawn_) std::fputs("\r\033[K", stderr);
  bar_drawn_ = false;
  std::fputs((text + "\n").c_str(), stderr);
}

}  // namespace deepspeed::engine
