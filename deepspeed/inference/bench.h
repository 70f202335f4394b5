// How fast an engine answers.
#pragma once

#include <string>
#include <vector>

#include "deepspeed/inference/engine.h"
#include "deepspeed/inference/infer.h"

namespace deepspeed::inference {

/// One measured quantity; percentiles by the nearest rank.
struct BenchRow {
  std::string name, unit;
  size_t count = 0;
  double mean = 0, p50 = 0, p90 = 0, p99 = 0, most = 0;
};
/// Error without samples.
BenchRow bench_row(std::string name, std::string unit, std::vector<double> samples);

/// Runs the task `bench_runs` times after one that does not count and prints a table, or a JSON line a row.
/// Of generation: time to the first token, between tokens, and tokens a second, of prompt and answer; without
/// texts of `bench_prompt_tokens` tokens. Of encoders: time of a call, and texts and tokens a second. Ends of
/// sequences are ignored.
void bench(InferenceEngine& engine, const InferOptions& options);

}  // namespace deepspeed::inference
