// Predicting masked tokens and classifying sequences: encoders.
#include <algorithm>
#include <cmath>

#include "deepspeed/base/error.h"
#include "deepspeed/data/masked_dataset.h"
#include "deepspeed/data/open_sequences.h"
#include "deepspeed/engine/encoder_batch.h"
#include "deepspeed/engine/objective.h"
#include "deepspeed/models/encoder_heads.h"

namespace deepspeed::engine {
namespace {

using models::ArchSpec;

class MaskedObjective : public Objective {
 public:
  MaskedObjective(ArchSpec spec, const ObjectiveContext& context)
      : context_(context),
        model_(std::make_shared<models::MaskedLanguageModel>(std::move(spec), context.rng)) {}

  std::shared_ptr<torch::nn::Module> model() const override { return model_; }
  const ArchSpec& spec() const override { return model_->spec(); }

  data::Samples open(const std::filesystem::path& file) override {
    data::Samples samples;
    if (data::brings_tokens(file)) {
      auto made = data::open_sequences(file, {.length = context_.options.seq_length,
                                              .vocab = spec().vocab,
                                              .token_types = std::max<int64_t>(1, spec().token_types),
                                              .padding = spec().padding_token.value_or(0),
                                              .kind = data::LabelKind::kTokens,
                                              .classes = spec().vocab,
                                              .tokenizer = context_.tokenizer});
      samples.dataset = std::move(made.dataset);
      samples.note = std::move(made.note);
      return samples;
    }
    samples.dataset = std::make_shared<data::MaskedDataset>(open_store(file, context_), masking());
    return samples;
  }

  at::Tensor loss(const Batch& batch) override {
    const EncoderBatch b = trim(batch, LabelsAre::kOfTokens);
    return model_->forward(b.input.ids, b.labels, b.input.token_types, b.input.ends);
  }

  Score score(const Batch& batch) override {
    const auto count = batch[1].ge(0).sum().item<double>();
    return {.loss = count > 0 ? loss(batch).item<double>() * count : 0, .predictions = count};
  }

  std::string describe(const Score& score) const override {
    return fmt::format("held-out loss {:.4f}, perplexity {:.2f} of {} masked tokens", score.mean_loss(),
                       std::exp(score.mean_loss()), static_cast<int64_t>(score.predictions));
  }

  double predicted() const override { return data::MaskOptions().probability; }

 private:
  data::MaskedOptions masking() const {
    const TrainOptions& o = context_.options;
    const auto packing = data::parse_packing(o.packing);
    DS_CHECK(packing != data::Packing::kDocuments,
             "--packing documents is not available yet for --objective mlm (stream and single are)");
    const text::Tokenizer& tokenizer = context_.tokenizer();
    data::MaskedOptions out{.length = o.seq_length,
                            .begin_token = data::special_token(tokenizer, "[CLS]"),
                            .end_token = data::special_token(tokenizer, "[SEP]"),
                            .padding = spec().padding_token.value_or(0),
                            .by_document = packing == data::Packing::kSingle,
                            .mask = {}};
    out.mask = {.vocab = spec().vocab,
                .mask_token = data::special_token(tokenizer, "[MASK]"),
                .untouched = {out.begin_token, out.end_token, out.padding},
                .seed = o.seed};
    return out;
  }

  ObjectiveContext context_;
  std::shared_ptr<models::MaskedLanguageModel> model_;
};

class ClassificationObjective : public Objective {
 public:
  ClassificationObjective(ArchSpec spec, const ObjectiveContext& context)
      : context_(context),
        model_(std::make_shared<models::SequenceClassifier>(std::move(spec), context.rng)) {}

  std::shared_ptr<torch::nn::Module> model() const override { return model_; }
  const ArchSpec& spec() const override { return model_->spec(); }

  data::Samples open(const std::filesystem::path& file) override {
    auto made =
        data::open_sequences(file, {.length = context_.options.seq_length,
                                    .vocab = spec().vocab,
                                    .token_types = std::max<int64_t>(1, spec().token_types),
                                    .padding = spec().padding_token.value_or(0),
                                    .kind = regression() ? data::LabelKind::kValue : data::LabelKind::kClass,
                                    .classes = spec().labels,
                                    .class_names = spec().label_names,
                                    .text_field = context_.options.text_field,
                                    .tokenizer = context_.tokenizer});
    data::Samples samples;
    samples.dataset = std::move(made.dataset);
    samples.note = std::move(made.note);
    return samples;
  }

  at::Tensor loss(const Batch& batch) override {
    const EncoderBatch b = trim(batch, LabelsAre::kOfSequences);
    return model_->forward(b.input.ids, b.labels, b.input.token_types, b.input.ends);
  }

  Score score(const Batch& batch) override {
    const EncoderBatch b = trim(batch, LabelsAre::kOfSequences);
    const at::Tensor logits = model_->logits(b.input);
    const auto count = static_cast<double>(b.labels.size(0));
    Score out{.loss = model_->loss(logits, b.labels).item<double>() * count, .predictions = count};
    if (!regression()) out.correct = logits.argmax(1).eq(b.labels).sum().item<double>();
    return out;
  }

  std::string describe(const Score& score) const override {
    if (regression()) return fmt::format("held-out mean squared error {:.5g}", score.mean_loss());
    return fmt::format("held-out loss {:.4f}, accuracy {:.2f} % ({} of {})", score.mean_loss(),
                       100 * score.correct / score.predictions, static_cast<int64_t>(score.correct),
                       static_cast<int64_t>(score.predictions));
  }

  bool counts_correct() const override { return !regression(); }
  double predicted() const override { return 0; }

 private:
  bool regression() const { return spec().labels == 1; }

  ObjectiveContext context_;
  std::shared_ptr<models::SequenceClassifier> model_;
};

}  // namespace

std::unique_ptr<Objective> masked_objective(ArchSpec spec, const ObjectiveContext& context) {
  check_encoder_flags(context.options);
  spec.architecture = fmt::format(fmt::runtime(spec.head_architecture), "MaskedLM");
  return std::make_unique<MaskedObjective>(std::move(spec), context);
}

std::unique_ptr<Objective> classification_objective(ArchSpec spec, const ObjectiveContext& context) {
  check_encoder_flags(context.options);
  spec.architecture = fmt::format(fmt::runtime(spec.head_architecture), "SequenceClassification");
  return std::make_unique<ClassificationObjective>(std::move(spec), context);
}

}  // namespace deepspeed::engine
