// Predicting the next token: decoders.
#include "deepspeed/base/error.h"
#include "deepspeed/engine/objective.h"

namespace deepspeed::engine {
namespace {

class CausalObjective : public Objective {
 public:
  CausalObjective(models::ArchSpec spec, const ObjectiveContext& context)
      : context_(context), model_(std::make_shared<models::Decoder>(std::move(spec), context.rng)) {}

  std::shared_ptr<torch::nn::Module> model() const override { return model_; }
  const models::ArchSpec& spec() const override { return model_->spec(); }
  models::Decoder* decoder() override { return model_.get(); }

  data::Samples open(const std::filesystem::path& file) override {
    const data::SampleOptions sizes{.sequence_length = context_.options.seq_length, .vocab = spec().vocab};
    return data::make_samples(open_store(file, context_), sizes,
                              data::parse_packing(context_.options.packing));
  }

  // Of a batch of data::TokenDataset ({ids}: every token is learnt) or data::PackedDataset ({ids, labels,
  // starts}).
  at::Tensor loss(const Batch& batch) override {
    DS_CHECK(
        batch.size() == 1 || batch.size() == 3,
        "a causal language model learns from ids, or ids, labels and document starts, not from {} tensors",
        batch.size());
    if (batch.size() == 1) return model_->forward(batch[0], batch[0]);
    return model_->forward(batch[0], batch[1], std::optional<at::Tensor>(batch[2]));
  }

  Score score(const Batch& batch) override {
    const at::Tensor& labels = batch[batch.size() == 1 ? 0 : 1];
    const auto count = labels.narrow(1, 1, labels.size(1) - 1).ge(0).sum().item<double>();
    return {.loss = loss(batch).item<double>() * count, .predictions = count};
  }

 private:
  ObjectiveContext context_;
  std::shared_ptr<models::Decoder> model_;
};

}  // namespace

std::unique_ptr<Objective> causal_objective(models::ArchSpec spec, const ObjectiveContext& context) {
  return std::make_unique<CausalObjective>(std::move(spec), context);
}

}  // namespace deepspeed::engine
