// Where ds_infer's texts come from.
#pragma once

#include "deepspeed/inference/engine.h"
#include "deepspeed/inference/infer.h"

namespace deepspeed::inference {

/// The engine that the options describe.
std::unique_ptr<InferenceEngine> open_engine(const InferOptions& options);
/// The given texts, those of the file (one a line), or standard input as one. Error where there is none.
std::vector<std::string> read_inputs(const InferOptions& options);
/// A line on standard error, unless the run is quiet.
void note(const InferOptions& options, const std::string& line);
/// Text on standard output at once. Error where it cannot be written.
void print(const std::string& text);

}  // namespace deepspeed::inference
