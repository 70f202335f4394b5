#include "deepspeed/models/size.h"

#include "deepspeed/accel/memory.h"
#include "deepspeed/base/error.h"

namespace deepspeed::models {

double approximate_parameters(const ArchSpec& spec) {
  const auto hidden = static_cast<double>(spec.hidden);
  const double embeddings =
      static_cast<double>(spec.vocab) * (spec.tied_embeddings ? 1 : 2) +
      (spec.positions == Positions::kLearned ? static_cast<double>(spec.max_positions) : 0);
  const double attention =
      static_cast<double>(2 * (spec.heads + spec.kv_heads)) * static_cast<double>(spec.head_dim);
  const double mlp =
      static_cast<double>(spec.intermediate) * (spec.activation == nn::Activation::kSwiGlu ? 3 : 2);
  return hidden * (embeddings + static_cast<double>(spec.layers) * (attention + mlp));
}

void check_fits_memory(const ArchSpec& spec, double bytes_each, const std::string& where) {
  const double count = approximate_parameters(spec), bytes = count * bytes_each;
  const auto memory = static_cast<double>(accel::physical_memory_bytes());
  DS_CHECK(bytes <= memory,
           "{}: a model of {:.3g} parameters takes {:.3g} GB, this machine has {:.3g} GB of memory", where,
           count, bytes / 1e9, memory / 1e9);
}

}  // namespace deepspeed::models
