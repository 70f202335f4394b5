#include "deepspeed/inference/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "deepspeed/accel/threads.h"
#include "deepspeed/base/cpu_features.h"
#include "deepspeed/base/error.h"
#include "deepspeed/inference/infer_encoders.h"
#include "deepspeed/inference/infer_inputs.h"
#include "deepspeed/inference/results.h"

namespace deepspeed::inference {
namespace {

using config::Json;
using Clock = std::chrono::steady_clock;

constexpr int64_t kNewTokens = 64;  // where nobody says

double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

double percentile(const std::vector<double>& sorted, double p) {
  const auto rank = static_cast<size_t>(std::ceil(p * static_cast<double>(sorted.size())));
  return sorted[std::max<size_t>(rank, 1) - 1];
}

// Bytes of weights that were read from a disk so far.
int64_t bytes_read(const InferenceEngine& engine) {
  return engine.streamed() == nullptr ? 0 : engine.streamed()->stream().bytes_used();
}

// What one call of generation took.
struct Timings {
  std::vector<double> first, between, prompt_rate, rate, read_rate;

  void add(Clock::time_point begin, const std::vector<Clock::time_point>& steps, size_t prompt_tokens,
           size_t sequences) {
    DS_CHECK(!steps.empty(), "the model generated nothing to measure");
    const double first_ms = milliseconds(begin, steps[0]);
    first.push_back(first_ms);
    prompt_rate.push_back(1000 * static_cast<double>(prompt_tokens) / first_ms);
    for (size_t i = 1; i < steps.size(); ++i) between.push_back(milliseconds(steps[i - 1], steps[i]));
    if (steps.size() > 1)
      rate.push_back(1000 * static_cast<double>((steps.size() - 1) * sequences) /
                     milliseconds(steps[0], steps.back()));
  }
};

std::vector<std::vector<int32_t>> prompts_of(InferenceEngine& engine, const InferOptions& options) {
  std::vector<std::vector<int32_t>> prompts;
  for (const std::string& text : options.inputs) prompts.push_back(engine.tokenizer().encode(text).ids);
  if (!prompts.empty()) return prompts;
  std::vector<int32_t> ids;
  for (size_t i = 0; i < options.bench_prompt_tokens; ++i)
    ids.push_back(static_cast<int32_t>((i * 7919 + 13) % static_cast<size_t>(engine.spec().vocab)));
  return {ids};
}

std::vector<BenchRow> bench_generation(InferenceEngine& engine, const InferOptions& options) {
  const auto prompts = prompts_of(engine, options);
  size_t prompt_tokens = 0;
  for (const auto& prompt : prompts) prompt_tokens += prompt.size();
  Json generation = options.generation;
  generation["ignore_eos"] = true;
  if (!generation.contains("max_new_tokens")) generation["max_new_tokens"] = kNewTokens;
  DS_CHECK(generation.value("num_beams", Json(1)) == 1,
           "--bench measures tokens as they come; beams come at the end");
  Timings timings;
  for (size_t run = 0; run <= options.bench_runs; ++run) {
    std::vector<Clock::time_point> steps;
    const int64_t read = bytes_read(engine);
    const auto begin = Clock::now();
    engine.generate_tokens(prompts, generation, [&](const Progress& progress) {
      if (progress.request == 0 && progress.sequence == 0) steps.push_back(Clock::now());
      return true;
    });
    if (run == 0) continue;
    const double took = milliseconds(begin, Clock::now());
    timings.add(begin, steps, prompt_tokens, prompts.size());
    timings.read_rate.push_back(static_cast<double>(bytes_read(engine) - read) / 1e6 / took);
  }
  std::vector<BenchRow> rows = {bench_row("first token", "ms", timings.first),
                                bench_row("prompt", "tokens/s", timings.prompt_rate)};
  if (!timings.between.empty()) {
    rows.push_back(bench_row("between tokens", "ms", timings.between));
    rows.push_back(bench_row("answer", "tokens/s", timings.rate));
  }
  if (engine.streamed() != nullptr) rows.push_back(bench_row("weights read", "GB/s", timings.read_rate));
  return rows;
}

// About so many tokens, one of them to be filled in where that is the task.
std::vector<std::string> made_up_text(const InferenceEngine& engine, const InferOptions& options) {
  std::string text = engine.source().special_tokens.value("mask_token", "");
  if (engine.task() != Task::kFillMask) text.clear();
  for (size_t i = 0; i < options.bench_prompt_tokens; ++i) text += text.empty() ? "a" : " a";
  return {text};
}

std::vector<BenchRow> bench_encoder(InferenceEngine& engine, const InferOptions& options) {
  const bool given = !options.inputs.empty() || !options.file.empty();
  const std::vector<std::string> texts = given ? read_inputs(options) : made_up_text(engine, options);
  DS_CHECK(engine.task() != Task::kQuestionAnswering || options.questions.size() == 1,
           "--bench of question-answering wants one --question, and contexts as texts");
  size_t tokens = 0;
  for (const std::string& text : texts) tokens += engine.tokenizer().encode(text).size();
  std::vector<double> times, rates, token_rates;
  for (size_t run = 0; run <= options.bench_runs; ++run) {
    const auto begin = Clock::now();
    answer_with_encoder(engine, options, texts);
    const double took = milliseconds(begin, Clock::now());
    if (run == 0) continue;
    times.push_back(took);
    rates.push_back(1000 * static_cast<double>(texts.size()) / took);
    token_rates.push_back(1000 * static_cast<double>(tokens) / took);
  }
  return {bench_row("call", "ms", times), bench_row("texts", "texts/s", rates),
          bench_row("text", "tokens/s", token_rates)};
}

Json to_json(const BenchRow& row) {
  return {{"name", row.name}, {"unit", row.unit}, {"count", row.count}, {"mean", row.mean},
          {"p50", row.p50},   {"p90", row.p90},   {"p99", row.p99},     {"max", row.most}};
}

}  // namespace

BenchRow bench_row(std::string name, std::string unit, std::vector<double> samples) {
  DS_CHECK(!samples.empty(), "there is nothing to measure of '{}'", name);
  std::sort(samples.begin(), samples.end());
  return {.name = std::move(name),
          .unit = std::move(unit),
          .count = samples.size(),
          .mean = std::accumulate(samples.begin(), samples.end(), 0.0) / static_cast<double>(samples.size()),
          .p50 = percentile(samples, 0.5),
          .p90 = percentile(samples, 0.9),
          .p99 = percentile(samples, 0.99),
          .most = samples.back()};
}

void bench(InferenceEngine& engine, const InferOptions& options) {
  const std::vector<BenchRow> rows =
      writes(engine.task()) ? bench_generation(engine, options) : bench_encoder(engine, options);
  if (options.json) {
    for (const BenchRow& row : rows) print(to_json(row).dump() + "\n");
    return;
  }
  note(options, fmt::format("{}, {} threads, {:.0f} MB of weights", base::cpu_summary(),
                            accel::compute_threads(), static_cast<double>(engine.parameter_bytes()) / 1e6));
  TextTable table({"", "unit", "mean", "p50", "p90", "p99", "max"});
  for (const BenchRow& row : rows) {
    const auto number = [](double value) { return fmt::format("{:.2f}", value); };
    table.add({row.name, row.unit, number(row.mean), number(row.p50), number(row.p90), number(row.p99),
               number(row.most)});
  }
  print(table.text());
}

}  // namespace deepspeed::inference
