#include "deepspeed/models/encoder_heads.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/tanh.h>

#include "deepspeed/base/error.h"
#include "deepspeed/models/vocabulary_head.h"
#include "deepspeed/ops/dropout.h"

namespace deepspeed::models {
namespace {

nn::DenseOptions square(const ArchSpec& s) {
  return {.in_features = s.hidden, .out_features = s.hidden, .weight_init = nn::Init::normal(s.init_std)};
}

}  // namespace

// From hidden states to the loss of the masked tokens, or to their logits.
class MaskedTokenHead : public nn::BlockModule<MaskedTokenHead> {
 public:
  MaskedTokenHead(const ArchSpec& s, const at::Tensor& embeddings) : activation_(s.activation) {
    nn::DenseOptions transform = square(s);
    if (s.embedding_width > 0) transform.out_features = s.embedding_width;
    const int64_t width = transform.out_features;
    transform_ = register_module("transform", std::make_shared<nn::Linear>(transform));
    norm_ = register_module("norm", std::make_shared<nn::Norm>(s.norm, width, s.norm_eps));
    const at::Tensor bias = declare_parameter("bias", {s.vocab}, nn::Init::zeros());
    decoder_ = register_module("decoder", std::make_shared<VocabularyHead>(VocabularyHeadOptions{
                                              .vocabulary = s.vocab,
                                              .hidden = width,
                                              .init = nn::Init::normal(s.init_std),
                                              .table = s.tied_embeddings ? embeddings : at::Tensor(),
                                              .bias = bias}));
  }
  at::Tensor compute(const at::Tensor& x, const std::optional<at::Tensor>& labels) {
    return decoder_->forward(norm_->forward(nn::activate(activation_, transform_->forward(x))), labels);
  }

 private:
  nn::Activation activation_;
  std::shared_ptr<nn::Linear> transform_;
  std::shared_ptr<nn::Norm> norm_;
  std::shared_ptr<VocabularyHead> decoder_;
};

MaskedLanguageModel::MaskedLanguageModel(ArchSpec spec, const nn::RngPtr& rng) : spec_(std::move(spec)) {
  encoder_ = register_module("encoder", std::make_shared<Encoder>(spec_, rng));
  head_ = register_module("head", std::make_shared<MaskedTokenHead>(spec_, encoder_->embedding_weight()));
}

at::Tensor MaskedLanguageModel::compute(const at::Tensor& ids, const at::Tensor& labels,
                                        const std::optional<at::Tensor>& token_types,
                                        const std::optional<at::Tensor>& ends) {
  DS_CHECK(labels.sizes() == ids.sizes(), "labels must have the shape of the token ids");
  const at::Tensor hidden = encoder_->forward(ids, token_types, ends).view({-1, spec_.hidden});
  const at::Tensor places = labels.reshape({-1}).ne(kIgnoredLabel).nonzero().squeeze(1);
  const std::optional<at::Tensor> wanted = labels.reshape({-1}).index_select(0, places);
  return head_->forward(hidden.index_select(0, places), wanted);
}

at::Tensor MaskedLanguageModel::logits(const EncoderInput& input) {
  const std::optional<at::Tensor> no_labels;
  return head_->forward(encoder_->forward(input.ids, input.token_types, input.ends), no_labels);
}

SequenceClassifier::SequenceClassifier(ArchSpec spec, const nn::RngPtr& rng)
    : spec_(std::move(spec)),
      pooler_dropout_(spec_.pooler_dropout, rng, "pooler"),
      dropout_(spec_.classifier_dropout, rng, "classifier") {
  encoder_ = register_module("encoder", std::make_shared<Encoder>(spec_, rng));
  pooler_ = register_module("pooler", std::make_shared<nn::Linear>(square(spec_)));
  nn::DenseOptions classifier = square(spec_);
  classifier.out_features = spec_.labels;
  classifier_ = register_module("classifier", std::make_shared<nn::Linear>(classifier));
}

at::Tensor SequenceClassifier::logits(const EncoderInput& input) {
  at::Tensor first = encoder_->forward(input.ids, input.token_types, input.ends).select(1, 0);
  first = ops::dropout(first, pooler_dropout_.p(is_training()), pooler_dropout_.key());
  const at::Tensor dense = pooler_->forward(first);
  const at::Tensor pooled =
      spec_.pooler_activation ? nn::activate(*spec_.pooler_activation, dense) : at::tanh(dense);
  return classifier_->forward(ops::dropout(pooled, dropout_.p(is_training()), dropout_.key())).to(at::kFloat);
}

at::Tensor SequenceClassifier::loss(const at::Tensor& logits, const at::Tensor& labels) const {
  DS_CHECK(labels.dim() == 1 && labels.size(0) == logits.size(0), "a classifier wants one label a sequence");
  if (spec_.labels == 1) return at::mse_loss(logits.squeeze(1), labels.to(at::kFloat));
  DS_CHECK(labels.scalar_type() == at::kLong, "labels of classes must be int64");
  return at::cross_entropy_loss(logits, labels);
}

at::Tensor SequenceClassifier::compute(const at::Tensor& ids, const at::Tensor& labels,
                                       const std::optional<at::Tensor>& token_types,
                                       const std::optional<at::Tensor>& ends) {
  return loss(logits({ids, token_types, ends}), labels);
}

TokenClassifier::TokenClassifier(ArchSpec spec, const nn::RngPtr& rng)
    : spec_(std::move(spec)), dropout_(spec_.token_dropout, rng, "classifier") {
  encoder_ = register_module("encoder", std::make_shared<Encoder>(spec_, rng));
  nn::DenseOptions classifier = square(spec_);
  classifier.out_features = spec_.labels;
  classifier_ = register_module("token_classifier", std::make_shared<nn::Linear>(classifier));
}

at::Tensor TokenClassifier::logits(const EncoderInput& input) {
  const at::Tensor hidden = encoder_->forward(input.ids, input.token_types, input.ends);
  return classifier_->forward(ops::dropout(hidden, dropout_.p(is_training()), dropout_.key())).to(at::kFloat);
}

at::Tensor TokenClassifier::compute(const at::Tensor& ids, const at::Tensor& labels,
                                    const std::optional<at::Tensor>& token_types,
                                    const std::optional<at::Tensor>& ends) {
  DS_CHECK(labels.sizes() == ids.sizes(), "labels must have the shape of the token ids");
  return loss(logits({ids, token_types, ends}), labels);
}

at::Tensor TokenClassifier::loss(const at::Tensor& logits, const at::Tensor& labels) const {
  return at::cross_entropy_loss(logits.view({-1, spec_.labels}), labels.reshape({-1}), {},
                                at::Reduction::Mean, kIgnoredLabel);
}

QuestionAnswerer::QuestionAnswerer(ArchSpec spec, const nn::RngPtr& rng)
    : spec_(std::move(spec)), dropout_(spec_.answer_dropout, rng, "answer") {
  encoder_ = register_module("encoder", std::make_shared<Encoder>(spec_, rng));
  nn::DenseOptions answer = square(spec_);
  answer.out_features = 2;
  answer_ = register_module("answer", std::make_shared<nn::Linear>(answer));
}

at::Tensor QuestionAnswerer::logits(const EncoderInput& input) {
  const at::Tensor hidden = encoder_->forward(input.ids, input.token_types, input.ends);
  return answer_->forward(ops::dropout(hidden, dropout_.p(is_training()), dropout_.key())).to(at::kFloat);
}

at::Tensor QuestionAnswerer::compute(const at::Tensor& ids, const at::Tensor& labels,
                                     const std::optional<at::Tensor>& token_types,
                                     const std::optional<at::Tensor>& ends) {
  DS_CHECK(labels.dim() == 2 && labels.size(0) == ids.size(0) && labels.size(1) == 2,
           "an answer wants its first and its last token as labels");
  return loss(logits({ids, token_types, ends}), labels);
}

at::Tensor QuestionAnswerer::loss(const at::Tensor& logits, const at::Tensor& labels) const {
  const int64_t outside = logits.size(1);
  const at::Tensor wanted = labels.clamp(0, outside);
  const auto side_loss = [&](int64_t side) {
    return at::cross_entropy_loss(logits.select(2, side), wanted.select(1, side), {}, at::Reduction::Mean,
                                  outside);
  };
  return (side_loss(0) + side_loss(1)) / 2;
}

}  // namespace deepspeed::models
