#include "deepspeed/engine/encoder_objective.h"

#include "deepspeed/base/error.h"

namespace deepspeed::engine {

EncoderBatch trim(const Objective::Batch& batch, LabelsAre labels) {
  DS_CHECK(batch.size() == 4, "an encoder learns from ids, labels, token types and ends, not from {} tensors",
           batch.size());
  const at::Tensor& ends = batch[3];
  const int64_t longest = ends.max().item<int64_t>();
  const auto cut = [&](const at::Tensor& t) { return t.narrow(1, 0, longest).contiguous(); };
  EncoderBatch out{{cut(batch[0]), cut(batch[2]), std::nullopt},
                   labels == LabelsAre::kOfTokens ? cut(batch[1]) : batch[1]};
  if (ends.min().item<int64_t>() < longest) out.input.ends = ends;
  return out;
}

void check_encoder_flags(const TrainOptions& options) {
  DS_CHECK(options.generate.empty(), "--generate continues a text, which --objective {} does not train for",
           options.objective);
  DS_CHECK(!options.eval_baselines,
           "--eval-baselines predicts next tokens; it goes with --objective clm only");
}

data::Samples samples_of(data::Sequences made) {
  data::Samples samples;
  samples.dataset = std::move(made.dataset);
  samples.note = std::move(made.note);
  return samples;
}

}  // namespace deepspeed::engine
