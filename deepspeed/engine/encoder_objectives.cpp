// Predicting masked tokens and classifying sequences: encoders.
#include <cmath>

#include "deepspeed/base/error.h"
#include "deepspeed/data/masked_dataset.h"
#include "deepspeed/data/open_sequences.h"
#include "deepspeed/engine/encoder_objective.h"
#include "deepspeed/models/encoder_heads.h"

namespace deepspeed::engine {
namespace {

using models::ArchSpec;

class MaskedObjective : public EncoderObjective<models::MaskedLanguageModel, LabelsAre::kOfTokens> {
 public:
  MaskedObjective(ArchSpec spec, const ObjectiveContext& context)
      : EncoderObjective(std::move(spec), context, "MaskedLM") {}

  data::Samples open(const std::filesystem::path& file) override {
    if (data::brings_tokens(file))
      return samples_of(data::open_sequences(file, sequences(data::LabelKind::kTokens, spec().vocab)));
    data::Samples samples;
    samples.dataset = std::make_shared<data::MaskedDataset>(open_store(file, context_), masking());
    return samples;
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
};

class ClassificationObjective : public EncoderObjective<models::SequenceClassifier, LabelsAre::kOfSequences> {
 public:
  ClassificationObjective(ArchSpec spec, const ObjectiveContext& context)
      : EncoderObjective(std::move(spec), context, "SequenceClassification") {}

  data::Samples open(const std::filesystem::path& file) override {
    const auto kind = regression() ? data::LabelKind::kValue : data::LabelKind::kClass;
    return samples_of(data::open_sequences(file, sequences(kind, spec().labels)));
  }

  Score score(const Batch& batch) override {
    const EncoderBatch b = trim(batch, LabelsAre::kOfSequences);
    std::function<at::Tensor(const at::Tensor&)> right;
    if (!regression()) right = [&](const at::Tensor& logits) { return logits.argmax(1).eq(b.labels); };
    return count(b, static_cast<double>(b.labels.size(0)), right);
  }

  std::string describe(const Score& score) const override {
    if (regression()) return fmt::format("held-out mean squared error {:.5g}", score.mean_loss());
    return fmt::format("held-out loss {:.4f}, accuracy {:.2f} % ({} of {})", score.mean_loss(),
                       100 * score.correct / score.predictions, static_cast<int64_t>(score.correct),
                       static_cast<int64_t>(score.predictions));
  }

  bool counts_correct() const override { return !regression(); }

 private:
  bool regression() const { return spec().labels == 1; }
};

}  // namespace

std::unique_ptr<Objective> masked_objective(ArchSpec spec, const ObjectiveContext& context) {
  return std::make_unique<MaskedObjective>(std::move(spec), context);
}

std::unique_ptr<Objective> classification_objective(ArchSpec spec, const ObjectiveContext& context) {
  return std::make_unique<ClassificationObjective>(std::move(spec), context);
}

}  // namespace deepspeed::engine
