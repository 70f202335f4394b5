// Classifying tokens and finding answers: encoders.
#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/data/open_questions.h"
#include "deepspeed/data/open_words.h"
#include "deepspeed/engine/encoder_batch.h"
#include "deepspeed/engine/objective.h"
#include "deepspeed/models/encoder_heads.h"

namespace deepspeed::engine {
namespace {

using models::ArchSpec;

data::Samples samples_of(data::Sequences made) {
  data::Samples samples;
  samples.dataset = std::move(made.dataset);
  samples.note = std::move(made.note);
  return samples;
}

class TokenObjective : public Objective {
 public:
  TokenObjective(ArchSpec spec, const ObjectiveContext& context)
      : context_(context), model_(std::make_shared<models::TokenClassifier>(std::move(spec), context.rng)) {}

  std::shared_ptr<torch::nn::Module> model() const override { return model_; }
  const ArchSpec& spec() const override { return model_->spec(); }

  data::Samples open(const std::filesystem::path& file) override {
    return samples_of(data::open_words(file, {.length = context_.options.seq_length,
                                              .vocab = spec().vocab,
                                              .token_types = std::max<int64_t>(1, spec().token_types),
                                              .padding = spec().padding_token.value_or(0),
                                              .kind = data::LabelKind::kTokens,
                                              .classes = spec().labels,
                                              .class_names = spec().label_names,
                                              .tokenizer = context_.tokenizer}));
  }

  at::Tensor loss(const Batch& batch) override {
    const EncoderBatch b = trim(batch, LabelsAre::kOfTokens);
    return model_->forward(b.input.ids, b.labels, b.input.token_types, b.input.ends);
  }

  Score score(const Batch& batch) override {
    const EncoderBatch b = trim(batch, LabelsAre::kOfTokens);
    const auto count = b.labels.ge(0).sum().item<double>();
    if (count == 0) return {};
    const at::Tensor logits = model_->logits(b.input);
    return {.loss = model_->loss(logits, b.labels).item<double>() * count,
            .predictions = count,
            .correct = logits.argmax(2).eq(b.labels).sum().item<double>()};
  }

  std::string describe(const Score& score) const override {
    return fmt::format("held-out loss {:.4f}, accuracy {:.2f} % of {} words", score.mean_loss(),
                       100 * score.correct / score.predictions, static_cast<int64_t>(score.predictions));
  }

  bool counts_correct() const override { return true; }
  double predicted() const override { return 0; }

 private:
  ObjectiveContext context_;
  std::shared_ptr<models::TokenClassifier> model_;
};

class AnswerObjective : public Objective {
 public:
  AnswerObjective(ArchSpec spec, const ObjectiveContext& context)
      : context_(context), model_(std::make_shared<models::QuestionAnswerer>(std::move(spec), context.rng)) {}

  std::shared_ptr<torch::nn::Module> model() const override { return model_; }
  const ArchSpec& spec() const override { return model_->spec(); }

  data::Samples open(const std::filesystem::path& file) override {
    return samples_of(data::open_questions(file, {.length = context_.options.seq_length,
                                                  .vocab = spec().vocab,
                                                  .token_types = std::max<int64_t>(1, spec().token_types),
                                                  .padding = spec().padding_token.value_or(0),
                                                  .tokenizer = context_.tokenizer}));
  }

  at::Tensor loss(const Batch& batch) override {
    const EncoderBatch b = trim(batch, LabelsAre::kOfSequences);
    return model_->forward(b.input.ids, b.labels, b.input.token_types, b.input.ends);
  }

  Score score(const Batch& batch) override {
    const EncoderBatch b = trim(batch, LabelsAre::kOfSequences);
    const at::Tensor logits = model_->logits(b.input);
    const auto count = static_cast<double>(b.labels.size(0));
    return {.loss = model_->loss(logits, b.labels).item<double>() * count,
            .predictions = count,
            .correct = logits.argmax(1).eq(b.labels).all(1).sum().item<double>()};
  }

  std::string describe(const Score& score) const override {
    return fmt::format("held-out loss {:.4f}, {:.2f} % of {} answers found exactly", score.mean_loss(),
                       100 * score.correct / score.predictions, static_cast<int64_t>(score.predictions));
  }

  bool counts_correct() const override { return true; }
  double predicted() const override { return 0; }

 private:
  ObjectiveContext context_;
  std::shared_ptr<models::QuestionAnswerer> model_;
};

}  // namespace

std::unique_ptr<Objective> token_objective(ArchSpec spec, const ObjectiveContext& context) {
  check_encoder_flags(context.options);
  spec.architecture = fmt::format(fmt::runtime(spec.head_architecture), "TokenClassification");
  return std::make_unique<TokenObjective>(std::move(spec), context);
}

std::unique_ptr<Objective> answer_objective(ArchSpec spec, const ObjectiveContext& context) {
  check_encoder_flags(context.options);
  spec.architecture = fmt::format(fmt::runtime(spec.head_architecture), "QuestionAnswering");
  return std::make_unique<AnswerObjective>(std::move(spec), context);
}

}  // namespace deepspeed::engine
