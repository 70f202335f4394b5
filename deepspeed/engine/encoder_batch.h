// What the objectives of encoders share. Private to engine/.
#pragma once

#include "deepspeed/engine/objective.h"
#include "deepspeed/models/encoder.h"

namespace deepspeed::engine {

enum class LabelsAre { kOfTokens, kOfSequences };

/// A batch of data::SequenceDataset or data::MaskedDataset without the padding that all of its rows share.
struct EncoderBatch {
  models::EncoderInput input;
  at::Tensor labels;  // those of tokens are cut as the ids are
};
EncoderBatch trim(const Objective::Batch& batch, LabelsAre labels);

/// An Error where a flag is for objectives that continue text.
void check_encoder_flags(const TrainOptions& options);

}  // namespace deepspeed::engine
