// A whole model by packed weights.
#pragma once

#include "deepspeed/models/vocabulary_head.h"
#include "deepspeed/nn/packed_projection.h"

namespace deepspeed::models {

struct PackModelOptions {
  nn::PackLinearsOptions linears;
  /// How the vocabulary heads are packed; nothing: they stay as they are. An embedding that is tied to one
  /// then looks its rows up in the packed table, in `embedding_type`; the dense one is gone.
  std::optional<ops::PackOptions> head{};
  at::ScalarType embedding_type = at::kFloat;
};

/// Packs one head as options.head says, and ties the model's embeddings that share its table to it.
void pack_head(torch::nn::Module& model, VocabularyHead& head, const PackModelOptions& options);

/// nn::pack_linears and every VocabularyHead of the model (keep is asked for its name, too).
nn::PackedLinears pack_model(torch::nn::Module& model, const PackModelOptions& options);

}  // namespace deepspeed::models
