// A whole model by packed weights.
#pragma once

#include "deepspeed/nn/packed_projection.h"

namespace deepspeed::models {

struct PackModelOptions {
  nn::PackLinearsOptions linears;
  /// How the vocabulary heads are packed; nothing: they stay as they are. A head that is tied to the
  /// embedding is a copy of its own then.
  std::optional<ops::PackOptions> head{};
};

/// nn::pack_linears and every VocabularyHead of the model (keep is asked for its name, too).
nn::PackedLinears pack_model(torch::nn::Module& model, const PackModelOptions& options);

}  // namespace deepspeed::models
