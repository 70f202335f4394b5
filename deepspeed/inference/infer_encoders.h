// ds_infer's tasks of encoders.
#pragma once

#include "deepspeed/inference/engine.h"
#include "deepspeed/inference/infer.h"

namespace deepspeed::inference {

/// Answers the options' inputs with the engine's task, which is none of a decoder.
void infer_with_encoder(InferenceEngine& engine, const InferOptions& options);

/// Runs the task once over the texts and throws the answers away, for measuring.
void answer_with_encoder(InferenceEngine& engine, const InferOptions& options,
                         const std::vector<std::string>& texts);

}  // namespace deepspeed::inference
