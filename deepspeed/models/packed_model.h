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

/// Every VocabularyHead of the model, as options.head says; options.linears.keep is asked for its name.
nn::PackedLinears pack_heads(torch::nn::Module& model, const PackModelOptions& options);

/// nn::pack_linears and pack_heads.
nn::PackedLinears pack_model(torch::nn::Module& model, const PackModelOptions& options);

}  // namespace deepspeed::models
