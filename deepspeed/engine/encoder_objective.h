// What the objectives of encoders share. Private to engine/.
#pragma once

#include <algorithm>
#include <memory>

#include "deepspeed/data/open_sequences.h"
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

data::Samples samples_of(data::Sequences made);

/// Of one of models/encoder_heads.h.
template <class Model, LabelsAre kLabels>
class EncoderObjective : public Objective {
 public:
  /// `head` as transformers names it: "MaskedLM", "QuestionAnswering", ...
  EncoderObjective(models::ArchSpec spec, const ObjectiveContext& context, const char* head)
      : context_(context) {
    check_encoder_flags(context.options);
    spec.architecture = fmt::format(fmt::runtime(spec.head_architecture), head);
    model_ = std::make_shared<Model>(std::move(spec), context.rng);
  }

  std::shared_ptr<torch::nn::Module> model() const override { return model_; }
  const models::ArchSpec& spec() const override { return model_->spec(); }

  at::Tensor loss(const Batch& batch) override {
    const EncoderBatch b = trim(batch, kLabels);
    return model_->forward(b.input.ids, b.labels, b.input.token_types, b.input.ends);
  }

  double predicted() const override { return 0; }

 protected:
  /// How a file becomes sequences for this model, with labels of that kind out of so many classes.
  data::SequenceOptions sequences(data::LabelKind kind, int64_t classes) const {
    return {.length = context_.options.seq_length,
            .vocab = spec().vocab,
            .token_types = std::max<int64_t>(1, spec().token_types),
            .padding = spec().padding_token.value_or(0),
            .kind = kind,
            .classes = classes,
            .class_names = spec().label_names,
            .text_field = context_.options.text_field,
            .tokenizer = context_.tokenizer};
  }

  /// How many of the labels there are, what they cost, and how many the likeliest class meets.
  Score count(const EncoderBatch& batch, double labels,
              const std::function<at::Tensor(const at::Tensor& logits)>& right) {
    const at::Tensor logits = model_->logits(batch.input);
    Score out{.loss = model_->loss(logits, batch.labels).template item<double>() * labels,
              .predictions = labels};
    if (right) out.correct = right(logits).sum().template item<double>();
    return out;
  }

  ObjectiveContext context_;
  std::shared_ptr<Model> model_;
};

}  // namespace deepspeed::engine
