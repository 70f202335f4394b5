// Classifying tokens and finding answers: encoders.
#include "deepspeed/base/error.h"
#include "deepspeed/data/open_questions.h"
#include "deepspeed/data/open_words.h"
#include "deepspeed/engine/encoder_objective.h"
#include "deepspeed/models/encoder_heads.h"

namespace deepspeed::engine {
namespace {

using models::ArchSpec;

class TokenObjective : public EncoderObjective<models::TokenClassifier, LabelsAre::kOfTokens> {
 public:
  TokenObjective(ArchSpec spec, const ObjectiveContext& context)
      : EncoderObjective(std::move(spec), context, "TokenClassification") {}

  data::Samples open(const std::filesystem::path& file) override {
    return samples_of(data::open_words(file, sequences(data::LabelKind::kTokens, spec().labels)));
  }

  Score score(const Batch& batch) override {
    const EncoderBatch b = trim(batch, LabelsAre::kOfTokens);
    const auto labels = b.labels.ge(0).sum().item<double>();
    if (labels == 0) return {};
    return count(b, labels, [&](const at::Tensor& logits) { return logits.argmax(2).eq(b.labels); });
  }

  std::string describe(const Score& score) const override {
    return fmt::format("held-out loss {:.4f}, accuracy {:.2f} % of {} words", score.mean_loss(),
                       100 * score.correct / score.predictions, static_cast<int64_t>(score.predictions));
  }

  bool counts_correct() const override { return true; }
};

class AnswerObjective : public EncoderObjective<models::QuestionAnswerer, LabelsAre::kOfSequences> {
 public:
  AnswerObjective(ArchSpec spec, const ObjectiveContext& context)
      : EncoderObjective(std::move(spec), context, "QuestionAnswering") {}

  data::Samples open(const std::filesystem::path& file) override {
    return samples_of(data::open_questions(file, sequences(data::LabelKind::kSpan, 0)));
  }

  Score score(const Batch& batch) override {
    const EncoderBatch b = trim(batch, LabelsAre::kOfSequences);
    return count(b, static_cast<double>(b.labels.size(0)),
                 [&](const at::Tensor& logits) { return logits.argmax(1).eq(b.labels).all(1); });
  }

  std::string describe(const Score& score) const override {
    return fmt::format("held-out loss {:.4f}, {:.2f} % of {} answers found exactly", score.mean_loss(),
                       100 * score.correct / score.predictions, static_cast<int64_t>(score.predictions));
  }

  bool counts_correct() const override { return true; }
};

}  // namespace

std::unique_ptr<Objective> token_objective(ArchSpec spec, const ObjectiveContext& context) {
  return std::make_unique<TokenObjective>(std::move(spec), context);
}

std::unique_ptr<Objective> answer_objective(ArchSpec spec, const ObjectiveContext& context) {
  return std::make_unique<AnswerObjective>(std::move(spec), context);
}

}  // namespace deepspeed::engine
