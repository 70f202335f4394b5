// What ds_train can train a model for: each objective knows its model, its samples, its loss and its measure
// of held-out data.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "deepspeed/comm/group.h"
#include "deepspeed/data/open_samples.h"
#include "deepspeed/engine/train.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/text/tokenizer.h"

namespace deepspeed::engine {

/// Sums over held-out predictions.
struct Score {
  double loss = 0;         // of all predictions together
  double predictions = 0;  // how many
  double correct = 0;      // of those, where the objective counts them
  double mean_loss() const { return loss / predictions; }
};

class Objective {
 public:
  using Batch = std::vector<at::Tensor>;

  virtual ~Objective() = default;
  /// Unmaterialized; the same object every time.
  virtual std::shared_ptr<torch::nn::Module> model() const = 0;
  /// With the architecture that an export of this model names.
  virtual const models::ArchSpec& spec() const = 0;
  /// The samples of a file, for training or evaluation.
  virtual data::Samples open(const std::filesystem::path& file) = 0;
  /// The mean loss of a collated batch of open()'s samples.
  virtual at::Tensor loss(const Batch& batch) = 0;
  /// As loss(), with counts; without gradients.
  virtual Score score(const Batch& batch) = 0;
  /// "held-out loss 2.3456, perplexity 10.43", or what else measures it.
  virtual std::string describe(const Score& score) const;
  /// Whether scores count what is correct.
  virtual bool counts_correct() const { return false; }
  /// Share of the positions whose logits the loss is expected to read; 0 without a vocabulary head.
  virtual double predicted() const { return 1; }
  /// The model, where it is one that continues text; else null.
  virtual models::Decoder* decoder() { return nullptr; }
};

/// What objectives are built from. All of it outlives them.
struct ObjectiveContext {
  const TrainOptions& options;
  nn::RngPtr rng;
  std::function<const text::Tokenizer&()> tokenizer;
};

/// "clm", "mlm", "sequence-classification", "token-classification" or "question-answering"
/// (options.objective) over that architecture. Errors: objectives that are unknown, an architecture that the
/// objective is not for, flags that do not go with it.
std::unique_ptr<Objective> make_objective(models::ArchSpec spec, const ObjectiveContext& context);

/// An Error unless make_objective knows the name. Needs no model.
void check_objective(const std::string& name);

/// The objectives in one file each.
std::unique_ptr<Objective> causal_objective(models::ArchSpec spec, const ObjectiveContext& context);
std::unique_ptr<Objective> masked_objective(models::ArchSpec spec, const ObjectiveContext& context);
std::unique_ptr<Objective> classification_objective(models::ArchSpec spec, const ObjectiveContext& context);
std::unique_ptr<Objective> token_objective(models::ArchSpec spec, const ObjectiveContext& context);
std::unique_ptr<Objective> answer_objective(models::ArchSpec spec, const ObjectiveContext& context);

/// The score of a whole data set, without dropout and gradients; the model is left in training mode. Every
/// rank of the group scores its share, in micro-batches. Collective.
Score held_out_score(Objective& objective, const data::Dataset& held_out, comm::Group& group,
                     int64_t micro_batch);

/// A file as token ids, as the flags say.
data::TokenStorePtr open_store(const std::filesystem::path& file, const ObjectiveContext& context);

}  // namespace deepspeed::engine
