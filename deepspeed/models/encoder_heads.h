// What an encoder is trained for: predicting masked tokens, classifying sequences or tokens, and finding
// answers. Source: Devlin et al., "BERT" (2019); heads as transformers' ...ForMaskedLM,
// ...ForSequenceClassification,
// ...ForTokenClassification and ...ForQuestionAnswering have them.
#pragma once

#include <memory>
#include <string>

#include "deepspeed/models/encoder.h"

namespace deepspeed::models {

class MaskedTokenHead;  // private to encoder_heads.cpp

/// Parameters are unmaterialized after construction, of both models.
class MaskedLanguageModel : public nn::BlockModule<MaskedLanguageModel> {
 public:
  MaskedLanguageModel(ArchSpec spec, const nn::RngPtr& rng);
  /// The mean cross-entropy of the tokens at the positions whose label is not -100; only these reach the
  /// head. labels int64 [B, T]; the rest as EncoderInput. Scalar fp32; NaN where no position has a label.
  at::Tensor compute(const at::Tensor& ids, const at::Tensor& labels,
                     const std::optional<at::Tensor>& token_types = std::nullopt,
                     const std::optional<at::Tensor>& ends = std::nullopt);
  /// [B, T, vocab]; the whole of them, so for inference and tests.
  at::Tensor logits(const EncoderInput& input);
  const ArchSpec& spec() const { return spec_; }

 private:
  ArchSpec spec_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<MaskedTokenHead> head_;
};

class SequenceClassifier : public nn::BlockModule<SequenceClassifier> {
 public:
  SequenceClassifier(ArchSpec spec, const nn::RngPtr& rng);
  /// The mean cross-entropy over the batch of labels int64 [B] in [0, spec.labels); with spec.labels == 1 the
  /// mean squared error of labels float [B]. Scalar fp32.
  at::Tensor compute(const at::Tensor& ids, const at::Tensor& labels,
                     const std::optional<at::Tensor>& token_types = std::nullopt,
                     const std::optional<at::Tensor>& ends = std::nullopt);
  /// [B, spec.labels], fp32.
  at::Tensor logits(const EncoderInput& input);
  /// compute() of logits that are there already.
  at::Tensor loss(const at::Tensor& logits, const at::Tensor& labels) const;
  const ArchSpec& spec() const { return spec_; }

 private:
  ArchSpec spec_;
  nn::DropoutSite pooler_dropout_, dropout_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<nn::Linear> pooler_, classifier_;
};

class TokenClassifier : public nn::BlockModule<TokenClassifier> {
 public:
  TokenClassifier(ArchSpec spec, const nn::RngPtr& rng);
  /// The mean cross-entropy of the labels int64 [B, T] in [0, spec.labels) that are not -100. Scalar fp32;
  /// NaN where all are.
  at::Tensor compute(const at::Tensor& ids, const at::Tensor& labels,
                     const std::optional<at::Tensor>& token_types = std::nullopt,
                     const std::optional<at::Tensor>& ends = std::nullopt);
  /// [B, T, spec.labels], fp32.
  at::Tensor logits(const EncoderInput& input);
  /// compute() of logits that are there already.
  at::Tensor loss(const at::Tensor& logits, const at::Tensor& labels) const;
  const ArchSpec& spec() const { return spec_; }

 private:
  ArchSpec spec_;
  nn::DropoutSite dropout_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<nn::Linear> classifier_;
};

/// Finds the first and the last token of an answer within a text.
class QuestionAnswerer : public nn::BlockModule<QuestionAnswerer> {
 public:
  QuestionAnswerer(ArchSpec spec, const nn::RngPtr& rng);
  /// The mean of both cross-entropies over the positions; labels int64 [B, 2]: the answer's first and last
  /// token. Those from T on are not counted, negative ones stand for 0, as in transformers. Scalar fp32.
  at::Tensor compute(const at::Tensor& ids, const at::Tensor& labels,
                     const std::optional<at::Tensor>& token_types = std::nullopt,
                     const std::optional<at::Tensor>& ends = std::nullopt);
  /// [B, T, 2], fp32: how likely the answer begins, and ends, at each position.
  at::Tensor logits(const EncoderInput& input);
  /// compute() of logits that are there already.
  at::Tensor loss(const at::Tensor& logits, const at::Tensor& labels) const;
  const ArchSpec& spec() const { return spec_; }

 private:
  ArchSpec spec_;
  nn::DropoutSite dropout_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<nn::Linear> answer_;
};

}  // namespace deepspeed::models
